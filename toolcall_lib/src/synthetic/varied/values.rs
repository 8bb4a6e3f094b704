//! Values that requests to other tools name: texts, numbers, days and choices.

use crate::synthetic::draw::{Draw, Pool};
use serde_json::Value;

/// Where the value of an argument comes from.
pub(super) enum Values {
    /// One of these texts.
    Text(&'static Pool),
    /// A number from .. to.
    Number(u32, u32),
    /// A day as `2025-03-14`.
    Date,
    /// One of the values of an enum, in both parts.
    Choice(&'static [&'static str]),
}

impl Values {
    /// The type in a schema, as [`schema`](crate::synthetic::rows::schema) takes it.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Text(_) | Self::Date => "string".into(),
            Self::Number(..) => "integer".into(),
            Self::Choice(choices) => choices.join("|"),
        }
    }

    pub(super) fn draw(&self, draw: &mut Draw) -> Value {
        match self {
            Self::Text(pool) => draw.of(pool).into(),
            Self::Number(from, to) => draw.number(*from, *to).into(),
            Self::Date => date(draw).into(),
            Self::Choice(choices) => draw.one(choices).into(),
        }
    }
}

/// A day; training and held-out days lie in different months.
fn date(draw: &mut Draw) -> String {
    let month = draw.of(&Pool {
        train: "2024-10 / 2025-03 / 2025-06",
        held_out: "2025-01 / 2025-08 / 2026-04",
    });
    format!("{month}-{:02}", draw.index(28) + 1)
}

pub(super) const CITIES: Pool = Pool {
    train: "Paris / Rome / Tokyo / Madrid / Chicago / Vienna / Cairo / Toronto / Sydney / Prague / Boston / Athens",
    held_out: "Berlin / Lima / Oslo / Denver",
};
pub(super) const PEOPLE: Pool = Pool {
    train: "Anna / Tom / Julia / Mr. Brown / Sara / Max / Dr. Lee / my mother / Oscar / Nina",
    held_out: "Peter / Mrs. Green / my uncle / Clara",
};
pub(super) const ROOMS: Pool = Pool {
    train: "kitchen / bedroom / hall / garden / bathroom / office",
    held_out: "attic / dining room / cellar",
};
pub(super) const SONGS: Pool = Pool {
    train: "Blue Moon / Summer Rain / Night Train / Golden Hour / Silver Lake / Morning Song / Red Shoes",
    held_out: "Winter Sun / Paper Boats / Old River",
};
pub(super) const THINGS: Pool = Pool {
    train: "apples / eggs / candles / batteries / lemons / towels / pencils / tomatoes / onions / plates",
    held_out: "oranges / nails / cups / carrots",
};
pub(super) const TITLES: Pool = Pool {
    train: "The Long Road / Green Hills / A Quiet House / The Last Ship / Stone and Water / Five Doors",
    held_out: "The Glass Key / Under the Oak / North Wind",
};
pub(super) const PHRASES: Pool = Pool {
    train: "good morning / thank you / where is the station / I am hungry / see you soon / how much is it",
    held_out: "good night / I am lost / have a nice day",
};
pub(super) const NEWS: Pool = Pool {
    train: "I am late / dinner is ready / the train is full / the key is under the mat / I am at home",
    held_out: "the car is parked outside / I will bring dessert / the shop is closed",
};
