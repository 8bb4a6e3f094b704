//! How many calls are exact among those that the model is most sure of.

use super::Score;
use serde_json::{Value, json};

/// The shares of the calls that are shown, in percent.
const SHARES: [usize; 4] = [100, 90, 80, 60];

/// A call that a model wrote.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct CallScore {
    /// How sure the model was of it:
    /// [`Generation::confidences`](crate::generate::Generation::confidences).
    pub confidence: f32,
    /// It is one of the calls that the row has there, its arguments included, and the reply ended
    /// by itself.
    pub exact: bool,
}

/// The calls that a model is most sure of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MostConfident {
    /// How many of all calls, in percent.
    pub percent: usize,
    /// How sure it is of each of them, at least.
    pub min_confidence: f32,
    /// How many of them are exact.
    pub exact: Score,
}

/// Of all calls, and of the most confident 90, 80 and 60 %; nothing without a call. A part of a
/// call counts as one.
pub(super) fn most_confident(calls: &[CallScore]) -> Vec<MostConfident> {
    let mut calls = calls.to_vec();
    calls.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let among = |percent: usize| {
        let kept = &calls[..(calls.len() * percent).div_ceil(100)];
        Some(MostConfident {
            percent,
            min_confidence: kept.last()?.confidence,
            exact: Score {
                count: kept.iter().filter(|call| call.exact).count(),
                total: kept.len(),
            },
        })
    };
    SHARES.into_iter().filter_map(among).collect()
}

/// As it stands in an evaluation's JSON.
pub(super) fn to_json(calls: &[CallScore]) -> Vec<Value> {
    let among = most_confident(calls).into_iter();
    among
        .map(|part| {
            json!({"percent": part.percent, "min_confidence": part.min_confidence, "count": part.exact.count,
                "total": part.exact.total})
        })
        .collect()
}
