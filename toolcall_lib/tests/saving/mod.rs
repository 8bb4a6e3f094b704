//! No training result is lost, and no file of others is changed.

mod numbers;
mod page;
mod resume;
mod rules;
#[cfg(feature = "cli")]
mod signals;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod faults;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod power;
#[cfg(feature = "cli")]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Content and mode of everything in a folder, by path. The content of a link is its target.
pub type Tree = BTreeMap<String, (Vec<u8>, u32)>;

/// Reads a folder; links are not followed.
pub fn tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    walk(folder, "", &mut found);
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Tree) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let metadata = entry.path().symlink_metadata().unwrap();
        let content = if metadata.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found);
            b"a folder".to_vec()
        } else if metadata.is_symlink() {
            fs::read_link(entry.path()).unwrap().to_str().unwrap().into()
        } else {
            fs::read(entry.path()).unwrap()
        };
        found.insert(path, (content, metadata.permissions().mode()));
    }
}

/// The paths of a tree that do not begin with one of these.
#[cfg(all(feature = "cli", target_os = "linux"))]
pub fn without<'a>(tree: &'a Tree, prefixes: &[&str]) -> BTreeMap<&'a str, &'a (Vec<u8>, u32)> {
    let others = tree
        .iter()
        .filter(|(path, _)| !prefixes.iter().any(|prefix| path.starts_with(prefix)));
    others.map(|(path, what)| (path.as_str(), what)).collect()
}
