//! Finds the files of a split: by the data set's card, or by their names, as the hub does.

use super::card::Config;
use crate::dataset::{is_same, split_name};
use crate::error::some_of;
use glob::{MatchOptions, Pattern};
use indexmap::IndexMap;

/// The config and the split that the user names.
#[derive(Clone, Copy, Default)]
pub(super) struct Wish<'a> {
    pub config: Option<&'a str>,
    pub split: Option<&'a str>,
}

/// Files to read, and the split of their rows to keep.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub files: Vec<String>,
    pub split: String,
    /// True if the file names do not give the split, so that the rows have to name it.
    pub by_rows: bool,
}

/// Files by the name of their split.
type Splits = IndexMap<String, Vec<String>>;

/// The split that is used if none is named.
pub(super) const USUAL: &str = "train";

/// Chooses files by their names and by the configs of the card.
pub(super) fn choose(names: &[String], configs: &[Config], wish: Wish<'_>) -> Result<Chosen, String> {
    let is_saved =
        names.iter().any(|name| name.ends_with(".arrow")) && names.iter().any(|name| is_state(name));
    let others = names.iter().filter(|name| !(is_saved && is_state(name)));
    let names: &[String] = &others.cloned().collect::<Vec<_>>();
    let mut splits = match config(configs, wish.config)? {
        Some(config) => splits_of(config, names)?,
        None => by_names(names.iter().filter(|name| is_data(name))),
    };
    if splits.is_empty() && is_saved {
        let problem = "was written with `save_to_disk` of datasets, in Arrow, which is not read; write it with \
                       `to_parquet` or `to_json`";
        return Err(problem.to_string());
    }
    if splits.is_empty() {
        return Err(format!(
            "has no file that can be read; expected {READABLE}, found {}",
            some_of(names)
        ));
    }
    let known = some_of(&splits.keys().cloned().collect::<Vec<_>>());
    let asked = wish.split.unwrap_or(USUAL);
    let found = splits.keys().position(|split| split == asked);
    let found = found.or_else(|| splits.keys().position(|split| is_same(split, asked)));
    let (index, by_rows) = match (found, splits.len(), wish.split) {
        (Some(index), ..) => (index, false),
        (None, 1, wished) => (0, wished.is_some()),
        _ => return Err(format!("has no split `{asked}`; its splits are {known}")),
    };
    let (split, mut files) = splits.swap_remove_index(index).unwrap_or_default();
    files.sort();
    files.dedup();
    check(&split, &files)?;
    let split = if by_rows { asked.to_string() } else { split };
    Ok(Chosen {
        files,
        split,
        by_rows,
    })
}

/// The named config, or the only one, or the default; `None` if the card has no configs.
fn config<'a>(configs: &'a [Config], asked: Option<&str>) -> Result<Option<&'a Config>, String> {
    let names: Vec<String> = configs.iter().map(|config| config.name.clone()).collect();
    let found = match asked {
        Some(asked) => configs.iter().find(|config| config.name == asked),
        None => {
            let default = |config: &&Config| config.default || config.name == "default" || configs.len() == 1;
            configs.iter().find(default)
        }
    };
    match (found, asked) {
        (Some(config), _) => Ok(Some(config)),
        (None, None) if configs.is_empty() => Ok(None),
        (None, Some("default")) if configs.is_empty() => Ok(None),
        (None, Some(asked)) if configs.is_empty() => {
            Err(format!("has no config `{asked}`; it has no configs"))
        }
        (None, Some(asked)) => Err(format!(
            "has no config `{asked}`; its configs are {}",
            some_of(&names)
        )),
        (None, None) => Err(format!("has several configs; choose one of {}", some_of(&names))),
    }
}

fn splits_of(config: &Config, names: &[String]) -> Result<Splits, String> {
    let prefix = match config.folder.as_str() {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    if config.splits.is_empty() {
        let within = names
            .iter()
            .filter(|name| name.starts_with(&prefix) && is_data(name));
        return Ok(by_names(within));
    }
    let mut splits = Splits::new();
    for (split, patterns) in &config.splits {
        let files = splits.entry(split.clone()).or_default();
        for pattern in patterns {
            let pattern = format!("{prefix}{}", pattern.trim_start_matches("./"));
            let found = matching(&pattern, names)?;
            if found.is_empty() {
                return Err(format!(
                    "its card names `{pattern}` for the split `{split}`, and no file has such a name"
                ));
            }
            files.extend(found);
        }
    }
    Ok(splits)
}

fn matching(pattern: &str, names: &[String]) -> Result<Vec<String>, String> {
    if pattern.contains("://") {
        return Err(format!(
            "its card names files elsewhere (`{pattern}`), which are not fetched"
        ));
    }
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let glob = Pattern::new(pattern).map_err(|problem| format!("its card names `{pattern}`: {problem}"))?;
    let found = names
        .iter()
        .filter(|name| *name == pattern || glob.matches_with(name, options));
    Ok(found.cloned().collect())
}

/// Splits by words in the names of files: `data/NAME-00000-of-00001.parquet`, else folders such as
/// `train`, else files such as `eval_2.json`; else all files are the usual split.
fn by_names<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Splits {
    for split_of in [of_shard, of_folders, of_file] {
        let mut splits = Splits::new();
        for (split, name) in names.clone().filter_map(|name| Some((split_of(name)?, name))) {
            splits.entry(split).or_default().push(name.clone());
        }
        if !splits.is_empty() {
            return splits;
        }
    }
    let all: Vec<String> = names.cloned().collect();
    let all = (!all.is_empty()).then(|| (USUAL.to_string(), all));
    all.into_iter().collect()
}

fn of_shard(name: &str) -> Option<String> {
    let (split, numbers) = name.strip_prefix("data/")?.split_once('-')?;
    let (number, count) = numbers.split_once("-of-")?;
    let count = count.split(['.', '_']).next()?;
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = !split.is_empty() && split.chars().all(|sign| sign.is_alphanumeric() || sign == '_');
    (is_word && is_number(number) && is_number(count)).then(|| split.to_string())
}

fn of_folders(name: &str) -> Option<String> {
    let (folders, _) = name.rsplit_once('/')?;
    of_words(folders)
}

fn of_file(name: &str) -> Option<String> {
    of_words(name.rsplit('/').next()?)
}

fn of_words(text: &str) -> Option<String> {
    text.split(|sign: char| !sign.is_alphabetic())
        .find_map(split_name)
        .map(String::from)
}

/// Endings of file names, by storage form.
const STORED: [&[&str]; 3] = [&[".json", ".jsonl", ".ndjson"], &[".parquet"], &[".csv"]];
const READABLE: &str = ".json, .jsonl, .parquet or .csv";

/// Returns the storage form of a file by its name, or `None` if no reader knows it.
pub(super) fn stored_as(name: &str) -> Option<usize> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    STORED.iter().position(|endings| ends(endings))
}

/// Returns true for a file with rows. Hidden files, and descriptions of data sets, are not.
fn is_data(name: &str) -> bool {
    const OTHERS: [&str; 2] = ["dataset_infos.json", "dataset_info.json"];
    let hidden = name.split('/').any(|part| part.starts_with(['.', '_']));
    let other = name.rsplit('/').next().is_some_and(|file| OTHERS.contains(&file));
    !hidden && !other && stored_as(name).is_some()
}

/// Returns true for a file that `save_to_disk` writes next to those with the rows.
fn is_state(name: &str) -> bool {
    let file = name.rsplit('/').next();
    file.is_some_and(|file| ["state.json", "dataset_dict.json"].contains(&file))
}

/// Checks that all files can be read, and that they have the same format: files in several formats
/// may hold the same rows.
fn check(split: &str, files: &[String]) -> Result<(), String> {
    if let Some(other) = files.iter().find(|file| stored_as(file).is_none()) {
        return Err(format!(
            "the split `{split}` has the file {other}; expected {READABLE}"
        ));
    }
    let odd = files
        .windows(2)
        .find(|pair| stored_as(&pair[0]) != stored_as(&pair[1]));
    match odd {
        None => Ok(()),
        Some(pair) => Err(format!(
            "the split `{split}` has files in several formats, such as {} and {}, which may hold the same rows; \
             name them in the configs of the card, or give the files",
            pair[0], pair[1]
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        names: &[&str],
        configs: &[Config],
        split: Option<&str>,
    ) -> Result<(Vec<String>, String, bool), String> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let wish = Wish { config: None, split };
        choose(&names, configs, wish).map(|found| (found.files, found.split, found.by_rows))
    }

    #[test]
    fn names_of_files_say_the_split_as_on_the_hub() {
        for (names, split, expected) in [
            (&["README.md", "data.csv"][..], None, &["data.csv"][..]),
            (
                &["train.json", "test.json", "dataset_infos.json"],
                None,
                &["train.json"],
            ),
            (
                &["my-train_1.json", "my_train_2.json", "eval.json"],
                None,
                &["my-train_1.json", "my_train_2.json"],
            ),
            (&["train.json", "eval.json"], Some("test"), &["eval.json"]),
            (&["train.json", "dev.json"], Some("validation"), &["dev.json"]),
            (
                &["train/a.csv", "train/b.csv", "test/c.csv", "other.csv"],
                None,
                &["train/a.csv", "train/b.csv"],
            ),
            (
                &[
                    "data/train-00000-of-00002.parquet",
                    "data/train-00001-of-00002.parquet",
                    "data/extra-00000-of-00001.parquet",
                ],
                None,
                &[
                    "data/train-00000-of-00002.parquet",
                    "data/train-00001-of-00002.parquet",
                ],
            ),
            (
                &[
                    "data/extra-00000-of-00001.parquet",
                    "data/x-00000-of-00001.parquet",
                ],
                Some("extra"),
                &["data/extra-00000-of-00001.parquet"],
            ),
            (
                &["trained.json", "contest.json"],
                None,
                &["contest.json", "trained.json"],
            ),
            (&["test.json"], None, &["test.json"]),
        ] {
            let (files, _, by_rows) = chosen(names, &[], split).unwrap();
            assert_eq!(
                (files, by_rows),
                (expected.iter().map(|name| name.to_string()).collect(), false),
                "{names:?}"
            );
        }
    }

    #[test]
    fn rows_may_name_the_split_that_no_file_is() {
        let found = chosen(&["dataset.jsonl"], &[], Some("eval")).unwrap();
        assert_eq!(found, (vec!["dataset.jsonl".into()], "eval".into(), true));
        let problem = chosen(&["train.json", "test.json"], &[], Some("third")).unwrap_err();
        assert_eq!(problem, "has no split `third`; its splits are train, test");
    }

    #[test]
    fn the_card_comes_before_the_names() {
        let config = |name: &str, files: &str| Config {
            name: name.into(),
            splits: vec![("train".into(), vec![files.into()])],
            ..Config::default()
        };
        let names = ["README.md", "a/one.json", "a/b/two.json", "c.json.gz"];
        let files = |pattern: &str| chosen(&names, &[config("only", pattern)], None).map(|found| found.0);
        assert_eq!(files("a/*.json").unwrap(), ["a/one.json"]);
        assert_eq!(files("./a/**/*.json").unwrap(), ["a/b/two.json", "a/one.json"]);
        assert!(
            files("x-*")
                .unwrap_err()
                .contains("names `x-*` for the split `train`")
        );
        assert!(files("https://host/x.json").unwrap_err().contains("elsewhere"));
        assert!(
            files("c.json.gz")
                .unwrap_err()
                .contains("c.json.gz; expected .json")
        );
        let two = [config("x", "a/one.json"), config("y", "a/b/two.json")];
        assert_eq!(
            chosen(&names, &two, None).unwrap_err(),
            "has several configs; choose one of x, y"
        );
    }

    #[test]
    fn copies_in_another_format_are_not_read_twice() {
        let problem = chosen(&["data.csv", "data.json"], &[], None).unwrap_err();
        assert!(problem.contains("several formats, such as data.csv and data.json"));
        for names in [
            &["data-00000-of-00001.arrow", "dataset_info.json", "state.json"][..],
            &[
                "dataset_dict.json",
                "train/data-00000-of-00001.arrow",
                "train/state.json",
            ],
        ] {
            let problem = chosen(names, &[], None).unwrap_err();
            assert!(
                problem.starts_with("was written with `save_to_disk`"),
                "{problem}"
            );
        }
        let beside = ["old/data-00000-of-00001.arrow", "old/state.json", "rows.json"];
        assert_eq!(chosen(&beside, &[], None).unwrap().0, ["rows.json"]);
        assert!(
            chosen(&["picture.png"], &[], None)
                .unwrap_err()
                .contains("found picture.png")
        );
    }
}
