//! Subjects: skills and dialogues in one file of `data/lists/skills`.

use super::dialogue::{Dialogue, WrittenDialogue};
use super::skill::{Skill, WrittenSkill};
use super::written::Texts;
use crate::error::Error;
use serde::Deserialize;

/// Skills of one subject, and the dialogues that need several turns or tools.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) skills: Vec<Skill>,
    pub(super) dialogues: Vec<Dialogue>,
    /// The answer where no tool of the subject fits, if it has its own.
    pub(super) no_tool: Option<String>,
    /// True if only parts of a mixture that name the subject use it.
    pub(super) apart: bool,
    /// Subjects that have skills for the same wishes.
    like: Vec<String>,
}

impl Subject {
    /// Returns a subject of skills without dialogues, under a name that no file has.
    pub(super) fn of(name: impl Into<String>, skills: Vec<Skill>) -> Self {
        Self {
            name: name.into(),
            skills,
            dialogues: Vec::new(),
            no_tool: None,
            apart: false,
            like: Vec::new(),
        }
    }

    /// Returns true if both may have a skill for the same wish. A request to one is then not a miss
    /// of the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.like.contains(&other.name) || other.like.contains(&self.name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSubject {
    #[serde(default)]
    skill: Vec<WrittenSkill>,
    #[serde(default)]
    dialogue: Vec<WrittenDialogue>,
    no_tool: Option<String>,
    #[serde(default)]
    apart: bool,
    #[serde(default)]
    like: Vec<String>,
}

/// Reads the file of a subject, or returns the problem.
pub(super) fn read(name: &str, text: &str, values: &Texts) -> Result<Subject, String> {
    let written: WrittenSubject = toml::from_str(text).map_err(|e| e.to_string())?;
    let skills = written.skill.into_iter().map(|skill| skill.read(values));
    let skills: Vec<Skill> = skills.collect::<Result<_, String>>()?;
    let dialogues = written.dialogue.into_iter().map(|one| one.read(&skills, values));
    Ok(Subject {
        name: name.trim_end_matches(".toml").to_string(),
        dialogues: dialogues.collect::<Result<_, String>>()?,
        no_tool: written.no_tool,
        apart: written.apart,
        like: written.like,
        skills,
    })
}

/// Refuses a subject whose `like` names a missing subject.
pub(super) fn check_likes(subjects: &[Subject]) -> crate::error::Result<()> {
    for subject in subjects {
        let is_there = |name: &&String| subjects.iter().any(|other| other.name == **name);
        if let Some(name) = subject.like.iter().find(|name| !is_there(name)) {
            let problem =
                format!("like: there is no file {name}.toml in skills; correct the name or leave it out");
            return Err(Error::invalid(format!("{}.toml", subject.name), problem));
        }
    }
    Ok(())
}
