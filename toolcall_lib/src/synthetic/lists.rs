//! The material of conversations, read from `data/lists`.

use super::held_out::HeldOut;
use super::mixture::Mixture;
use super::said;
use super::subject::{self, Subject};
use super::talk::Talk;
use super::text::Template;
use super::value::{Argument, Kind};
use super::written::Texts;
use crate::error::{Error, Result};
use include_dir::{Dir, include_dir};
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../data/lists");

/// Skills, values and wordings for conversations.
#[derive(Clone, Debug)]
pub struct Lists {
    pub(super) subjects: Vec<Subject>,
    pub(super) held_out: HeldOut,
    pub(super) talk: Talk,
    pub(super) mixtures: IndexMap<String, Mixture>,
    values: Texts,
    pub(super) own: Own,
}

impl Lists {
    /// Returns the lists of this library.
    ///
    /// # Errors
    /// A file does not fit. A test makes sure that there is none.
    pub fn embedded() -> Result<Self> {
        let file = |name: &str| EMBEDDED.get_file(name).and_then(|file| file.contents_utf8());
        let subjects = EMBEDDED.get_dir("skills").into_iter().flat_map(Dir::files);
        let subjects = subjects.map(|file| {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            (
                name.into_owned(),
                file.contents_utf8().unwrap_or_default().to_string(),
            )
        });
        Self::read(
            |name| Ok(file(name).unwrap_or_default().to_string()),
            subjects.collect(),
        )
    }

    /// Returns the lists in a folder that is laid out like `data/lists`.
    ///
    /// # Errors
    /// A file cannot be read or does not fit. The error has its name and the problem.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let text = |path: &Path| std::fs::read_to_string(path).map_err(Error::io(path));
        let skills = folder.join("skills");
        let mut subjects = Vec::new();
        for entry in std::fs::read_dir(&skills).map_err(Error::io(&skills))? {
            let path = entry.map_err(Error::io(&skills))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                subjects.push((name.into_owned(), text(&path)?));
            }
        }
        Self::read(|name| text(&folder.join(name)), subjects)
    }

    fn read(file: impl Fn(&str) -> Result<String>, mut subjects: Vec<(String, String)>) -> Result<Self> {
        subjects.sort();
        let held_out: HeldOut = parse("held_out.toml", &file("held_out.toml")?)?;
        let written: IndexMap<String, Vec<Template>> = parse("values.toml", &file("values.toml")?)?;
        let free = |texts: Vec<Template>| -> Arc<[String]> {
            let all = texts.iter().flat_map(Template::variants);
            all.filter(|text| !held_out.has(said::said(text))).collect()
        };
        let values: Texts = written
            .into_iter()
            .map(|(name, texts)| (name, free(texts)))
            .collect();
        let read = |(name, text): (String, String)| {
            subject::read(&name, &text, &values).map_err(|problem| Error::invalid(&name, problem))
        };
        let subjects: Vec<Subject> = subjects.into_iter().map(read).collect::<Result<_>>()?;
        subject::check_likes(&subjects)?;
        Ok(Self {
            subjects,
            talk: parse("talk.toml", &file("talk.toml")?)?,
            mixtures: parse("mixtures.toml", &file("mixtures.toml")?)?,
            own: parse("own.toml", &file("own.toml")?)?,
            values,
            held_out,
        })
    }

    /// Returns the list of `values.toml` that has one of these strings.
    pub(super) fn known_list(&self, texts: &[String]) -> Option<Arc<[String]>> {
        let has = |list: &&Arc<[String]>| list.iter().any(|text| texts.contains(text));
        self.values.values().find(has).cloned()
    }

    /// Returns strings of all skills with about this many words; only names, if those are asked
    /// for.
    pub(super) fn any_texts(&self, words: Option<f64>, names: bool) -> Vec<String> {
        let texts = self.arguments().filter_map(|argument| match &argument.kind {
            Kind::Text(texts) => Some(texts),
            _ => None,
        });
        let fits = |text: &&String| {
            let its = text.split(' ').count() as f64;
            words.is_none_or(|words| (its - words).abs() <= 1.0) && (!names || is_name(text))
        };
        let some = |texts: &'_ Arc<[String]>| {
            let step = (texts.len() / 12).max(1); // a long list counts no more than a short one
            texts
                .iter()
                .step_by(step)
                .filter(fits)
                .cloned()
                .collect::<Vec<_>>()
        };
        let all: Vec<String> = texts.flat_map(some).collect();
        let step = (all.len() / 60).max(1); // some of each subject
        all.into_iter().step_by(step).collect()
    }

    /// Returns the arguments of all skills.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        let skills = self.subjects.iter().flat_map(|subject| &subject.skills);
        skills.flat_map(|skill| skill.arguments.values())
    }

    /// Returns the list for an argument whose name or description has one of its phrases.
    pub(super) fn list_for(&self, description: &str) -> Option<Arc<[String]>> {
        let low = description.to_lowercase();
        let fits = |phrases: &Vec<String>| phrases.iter().any(|phrase| low.contains(phrase.as_str()));
        let (name, _) = self.own.lists.iter().find(|(_, phrases)| fits(phrases))?;
        self.values.get(name).cloned()
    }

    /// Returns true if a sentence that begins with this word is an order.
    pub(super) fn is_order(&self, word: &str) -> bool {
        self.own.orders.iter().any(|order| order == word)
    }

    /// Returns other verbs for an order that begins with this one.
    pub(super) fn synonyms(&self, verb: &str) -> Vec<&str> {
        let groups = self.own.synonyms.verbs.iter();
        let groups = groups.filter(|group| group.iter().any(|other| other == verb));
        let others = groups.flatten().map(String::as_str);
        others.filter(|other| *other != verb).collect()
    }
}

/// Returns true if every word has a capital.
pub(super) fn is_name(text: &str) -> bool {
    text.split(' ').all(|word| word.starts_with(char::is_uppercase))
}

/// Variations for the rows of a user's own tools: `data/lists/own.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    /// First words of orders.
    orders: Vec<String>,
    /// Lists of values, each with phrases of descriptions that it serves.
    lists: IndexMap<String, Vec<String>>,
    synonyms: Synonyms,
    /// Sentences after a statement that ask to act on it.
    pub(super) closers: Vec<String>,
    pub(super) beyond: Beyond,
}

/// Requests that a tool does not serve although they are about the same things.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Beyond {
    /// First words of orders.
    pub(super) verbs: Vec<String>,
    pub(super) questions: Vec<BeyondQuestion>,
}

/// A question about the `OBJECT` of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeyondQuestion {
    pub(super) text: String,
    /// Words for what it asks for. A tool that has one of them may serve it.
    pub(super) words: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Synonyms {
    /// Groups of verbs that may stand for each other.
    verbs: Vec<Vec<String>>,
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| Error::invalid(name, e))
}

#[cfg(test)]
mod tests {
    use super::super::sentence::upper;
    use super::*;
    use crate::conversation::Role;
    use crate::dataset::Dataset;
    use std::collections::HashSet;

    /// Sentences of the user in these files.
    fn sentences(files: &[&str], shortest: usize) -> HashSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
        let load = |name: &&str| Dataset::load(folder.join(format!("{name}.json"))).unwrap().rows;
        let messages = files.iter().flat_map(load).flat_map(|row| row.messages);
        let said = messages.filter(|message| message.role == Role::User);
        let said = said.map(|message| message.content);
        said.filter(|text| text.split(' ').count() >= shortest).collect()
    }

    #[test]
    fn no_variant_of_a_text_is_a_sentence_that_is_held_out() {
        let mut held_out = sentences(&["tool_heldout", "varied_heldout", "customer_heldout"], 1);
        let fresh = ["fresh/timers", "fresh/varied", "fresh/customers", "own/heldout"];
        held_out.extend(sentences(&fresh, 4)); // not `Good morning`
        let lists = Lists::embedded().unwrap();
        let said = lists.talk.small.iter().map(|(said, _)| said);
        let mut texts: Vec<&Template> = said.chain(&lists.talk.beyond).collect();
        for subject in &lists.subjects {
            for skill in &subject.skills {
                texts.extend(skill.asks.iter().map(|ask| &ask.text));
                texts.extend(skill.vague.iter().map(|(ask, _)| ask));
                texts.extend(skill.several.iter().chain(&skill.near));
            }
            let dialogues = subject.dialogues.iter();
            texts.extend(dialogues.flat_map(|dialogue| dialogue.user_texts()));
        }
        // Values are never held out, so a text with one is not.
        let whole = texts.into_iter().flat_map(Template::variants);
        let whole = whole.filter(|text| !text.contains('{')).map(|text| upper(&text));
        let shared: HashSet<String> = whole.filter(|text| held_out.contains(text)).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}
