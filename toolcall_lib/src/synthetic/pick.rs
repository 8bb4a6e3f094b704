//! Picks the skills of a list of tools.

use super::draw::Draw;
use super::lists::Lists;
use super::skill::Skill;

/// Draws up to `size` skills: of one subject, so that they are near misses of each other, or of
/// several.
pub(super) fn draw_skills<'a>(
    lists: &'a Lists,
    among: &[usize],
    size: usize,
    draw: &mut Draw,
) -> (usize, Vec<&'a Skill>) {
    let main = among[draw.index(among.len())];
    let sources: Vec<usize> = match draw.index(10) {
        0..6 => vec![main],
        6..8 => vec![main, among[draw.index(among.len())]],
        _ => (0..size).map(|_| among[draw.index(among.len())]).collect(),
    };
    let like = |subject: usize| subject != main && lists.subjects[main].is_like(&lists.subjects[subject]);
    let mut sources: Vec<usize> = sources.into_iter().filter(|&source| !like(source)).collect();
    if sources.is_empty() {
        sources.push(main);
    }
    let mut skills: Vec<&Skill> = Vec::new();
    for _ in 0..size * 20 {
        let subject = &lists.subjects[sources[draw.index(sources.len())]];
        let skill = &subject.skills[draw.index(subject.skills.len())];
        if skills.len() < size && skills.iter().all(|other| other.id() != skill.id()) {
            skills.push(skill);
        }
    }
    (main, skills)
}

/// Returns all skills of a subject, one time in three in reverse order.
pub(super) fn whole<'a>(lists: &'a Lists, among: &[usize], draw: &mut Draw) -> (usize, Vec<&'a Skill>) {
    let subject = among[draw.index(among.len())];
    let mut skills: Vec<&Skill> = lists.subjects[subject].skills.iter().collect();
    if draw.chance(3) {
        skills.reverse();
    }
    (subject, skills)
}

/// Adds skills of subjects that have none for the same wishes.
pub(super) fn add_others<'a>(
    lists: &'a Lists,
    subject: usize,
    count: usize,
    skills: &mut Vec<&'a Skill>,
    draw: &mut Draw,
) {
    let target = skills.len() + count;
    for _ in 0..count * 20 {
        let other = draw.index(lists.subjects.len());
        let source = &lists.subjects[other];
        let skill = &source.skills[draw.index(source.skills.len())];
        let free = other != subject && !source.apart && !lists.subjects[subject].is_like(source);
        let new = skills.iter().all(|known| known.id() != skill.id());
        if skills.len() < target && free && new {
            skills.push(skill);
        }
    }
}
