//! Token sequences packed into one tree, so that a shared prefix is computed once.
//!
//! With causal attention, the hidden states of a prefix are the same in every sequence that starts
//! with it. The sequences of an optimizer step therefore form a trie over token ids. Its nodes in
//! depth-first order are the *rows* that the model computes: a row is one token of the tree. Loss
//! and gradients are those of the separate sequences, up to rounding.
//!
//! [`TreeBatch::pack`] builds one tree; [`TreeBatch::pack_within`] builds as many as the memory
//! limit needs.

use crate::tokens::Sequence;
use std::ops::Range;

/// A run of tokens without a branch: the rows `start..start + len` of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Index of the segment that this one continues; always an earlier one. `None` at a root.
    pub parent: Option<usize>,
    /// Position of its first token in the sequences that it belongs to.
    pub position: usize,
}

/// A token that a row must predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Row whose hidden state predicts the token.
    pub row: usize,
    /// Id of the predicted token.
    pub id: u32,
    /// Number of sequences in which the token follows the row.
    pub weight: f32,
}

/// Sequences packed into one tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeBatch {
    /// Token id of each row.
    pub ids: Vec<u32>,
    /// Depth of each row: its position in every sequence that runs through it.
    pub positions: Vec<u32>,
    /// The rows as segments. A token attends to the segments of its ancestors and, causally, to its
    /// own.
    pub segments: Vec<Segment>,
    /// Row of each sequence's last token, in the order in which the sequences were given.
    pub ends: Vec<usize>,
    /// Targets, ordered by row. A row has several targets where sequences branch.
    pub targets: Vec<Target>,
    /// Number of tokens of the sequences before packing.
    pub sequence_tokens: usize,
}

impl TreeBatch {
    /// Packs sequences into one tree. None of them may be empty; their order does not matter.
    pub fn pack(sequences: &[&Sequence]) -> Self {
        let mut tree = Self {
            ends: vec![0; sequences.len()],
            ..Self::default()
        };
        let mut parents: Vec<Option<usize>> = Vec::new();
        let mut path: Vec<usize> = Vec::new(); // rows of the current sequence
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        // 1. Sort: each sequence then shares its longest prefix with the one before, and rows come
        // in depth-first order of the trie.
        order.sort_by(|&a, &b| sequences[a].ids.cmp(&sequences[b].ids));
        for index in order {
            let sequence = sequences[index];
            // 2. Go back on the path to the last shared row, and add a row for each further token.
            let shared = path
                .iter()
                .zip(&sequence.ids)
                .take_while(|&(&row, id)| tree.ids[row] == *id)
                .count();
            path.truncate(shared);
            for (position, &id) in sequence.ids.iter().enumerate().skip(shared) {
                parents.push(path.last().copied());
                path.push(tree.ids.len());
                tree.ids.push(id);
                tree.positions.push(position as u32);
            }
            // 3. Add the targets: the row before a trained token predicts it.
            for position in 1..sequence.ids.len() {
                if sequence.trained[position] {
                    let row = path[position - 1];
                    tree.targets.push(Target {
                        row,
                        id: sequence.ids[position],
                        weight: 1.0,
                    });
                }
            }
            tree.ends[index] = path.last().copied().unwrap_or_default();
            tree.sequence_tokens += sequence.ids.len();
        }
        // 4. Cut the rows into segments, and merge equal targets of several sequences.
        tree.segments = segments(&parents, &tree.positions);
        tree.targets = merge(std::mem::take(&mut tree.targets));
        tree
    }

    /// Packs sequences into as many trees as the limit needs.
    ///
    /// No tree has more than `most_rows` rows besides the prefix that all its sequences share. So
    /// memory stays bounded by `most_rows` and one sequence, and a long list of tools is computed
    /// once per tree. Sequences that share much go into the same tree.
    pub fn pack_within(sequences: &[&Sequence], most_rows: usize) -> Vec<Self> {
        let mut sorted = sequences.to_vec();
        sorted.sort_by(|a, b| a.ids.cmp(&b.ids));
        let mut trees: Vec<Vec<&Sequence>> = Vec::new();
        let mut before: &[u32] = &[];
        let (mut rows, mut common) = (0, 0); // those of the last tree
        for sequence in sorted {
            let shared = shared_prefix(before, &sequence.ids);
            let (more_rows, less_common) = (rows + sequence.ids.len() - shared, common.min(shared));
            // Adding a sequence can shorten the common prefix, which then counts against the limit.
            match trees.last_mut() {
                Some(tree) if more_rows - less_common <= most_rows => {
                    tree.push(sequence);
                    (rows, common) = (more_rows, less_common);
                }
                _ => {
                    trees.push(vec![sequence]);
                    (rows, common) = (sequence.ids.len(), sequence.ids.len());
                }
            }
            before = &sequence.ids;
        }
        trees.iter().map(|sequences| Self::pack(sequences)).collect()
    }

    /// Returns the rows that `row` attends to, from the root to itself.
    pub fn path(&self, row: usize) -> Vec<Range<usize>> {
        let own = self.segments.partition_point(|segment| segment.start <= row) - 1;
        let mut path = ancestors(&self.segments, own);
        path.push(self.segments[own].start..row + 1);
        path
    }

    /// Returns the number of trained tokens of the sequences, by which a mean loss is divided.
    pub fn trained_tokens(&self) -> f64 {
        self.targets.iter().map(|t| f64::from(t.weight)).sum()
    }
}

/// Returns the number of leading ids that two sequences share.
fn shared_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Returns the rows of the segments above a segment, from the root down.
pub(crate) fn ancestors(segments: &[Segment], index: usize) -> Vec<Range<usize>> {
    let above = std::iter::successors(segments[index].parent, |&index| segments[index].parent);
    let mut rows: Vec<Range<usize>> = above
        .map(|index| segments[index].start..segments[index].start + segments[index].len)
        .collect();
    rows.reverse();
    rows
}

/// Cuts rows in depth-first order into segments. `parents[row]` is the row before it in its
/// sequences.
fn segments(parents: &[Option<usize>], positions: &[u32]) -> Vec<Segment> {
    let mut children = vec![0usize; parents.len()];
    for parent in parents.iter().flatten() {
        children[*parent] += 1;
    }
    let mut segments: Vec<Segment> = Vec::new();
    let mut segment_of: Vec<usize> = Vec::with_capacity(parents.len());
    for (row, &parent) in parents.iter().enumerate() {
        match (parent, segments.last_mut()) {
            // the row continues the segment if it is the only child of the row before
            (Some(above), Some(segment)) if above + 1 == row && children[above] == 1 => segment.len += 1,
            _ => segments.push(Segment {
                start: row,
                len: 1,
                parent: parent.map(|above| segment_of[above]),
                position: positions[row] as usize,
            }),
        }
        segment_of.push(segments.len() - 1);
    }
    segments
}

/// Adds up the weights of equal targets and orders the targets by row.
fn merge(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by_key(|t| (t.row, t.id));
    targets.dedup_by(|next, kept| {
        let same = (next.row, next.id) == (kept.row, kept.id);
        if same {
            kept.weight += next.weight;
        }
        same
    });
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(ids: &[u32], trained: &[usize]) -> Sequence {
        let trained = (0..ids.len()).map(|i| trained.contains(&i)).collect();
        Sequence {
            ids: ids.to_vec(),
            trained,
        }
    }

    #[test]
    fn shared_prefixes_are_packed_once() {
        let rows = [
            sequence(&[1, 2, 3, 4], &[2, 3]),
            sequence(&[1, 2, 5], &[2]),
            sequence(&[1, 2, 3, 4], &[3]),
            sequence(&[7], &[]),
        ];
        let tree = TreeBatch::pack(&rows.iter().collect::<Vec<_>>());
        assert_eq!(tree.ids, [1, 2, 3, 4, 5, 7]);
        assert_eq!(tree.positions, [0, 1, 2, 3, 2, 0]);
        let shape: Vec<_> = tree
            .segments
            .iter()
            .map(|s| (s.start, s.len, s.parent, s.position))
            .collect();
        assert_eq!(
            shape,
            [
                (0, 2, None, 0),
                (2, 2, Some(0), 2),
                (4, 1, Some(0), 2),
                (5, 1, None, 0)
            ]
        );
        let targets: Vec<_> = tree.targets.iter().map(|t| (t.row, t.id, t.weight)).collect();
        assert_eq!(targets, [(1, 3, 1.0), (1, 5, 1.0), (2, 4, 2.0)]);
        assert_eq!((tree.trained_tokens(), tree.sequence_tokens), (4.0, 12));
    }

    #[test]
    fn a_sequence_that_is_a_prefix_of_another_adds_no_rows() {
        let rows = [sequence(&[1, 2, 3], &[2]), sequence(&[1, 2], &[1])];
        let tree = TreeBatch::pack(&rows.iter().collect::<Vec<_>>());
        assert_eq!(tree.ids, [1, 2, 3]);
        assert_eq!(tree.segments.len(), 1);
    }

    #[test]
    fn trees_are_cut_where_the_rows_would_be_too_many() {
        let rows = [
            sequence(&[1, 2, 3, 4], &[3]),
            sequence(&[7, 8], &[1]),
            sequence(&[1, 2, 3, 5], &[3]),
            sequence(&[1, 2, 6], &[2]),
            sequence(&[9, 9, 9, 9, 9, 9, 9], &[6]),
        ];
        let rows: Vec<&Sequence> = rows.iter().collect();
        let ids = |most: usize| -> Vec<Vec<u32>> {
            let trees = TreeBatch::pack_within(&rows, most);
            assert_eq!(trees.iter().map(TreeBatch::trained_tokens).sum::<f64>(), 5.0);
            trees.into_iter().map(|tree| tree.ids).collect()
        };
        assert_eq!(ids(100), [TreeBatch::pack(&rows).ids]);
        assert_eq!(
            ids(6),
            [vec![1, 2, 3, 4, 5, 6], vec![7, 8], vec![9; 7]],
            "the last is longer than 6 alone"
        );
        assert_eq!(
            ids(2),
            [vec![1, 2, 3, 4, 5], vec![1, 2, 6], vec![7, 8], vec![9; 7]],
            "the prefix of a tree's sequences does not count"
        );
    }

    #[test]
    fn following_parents_gives_back_every_sequence() {
        let rows: Vec<Sequence> = (0..40u32)
            .map(|n| sequence(&[0, n % 2, n % 3, n % 5, n % 7, n][..(n as usize % 5) + 2], &[]))
            .collect();
        let tree = TreeBatch::pack(&rows.iter().collect::<Vec<_>>());
        let mut leaves: Vec<Vec<u32>> = Vec::new();
        for segment in &tree.segments {
            let mut ids = tree.ids[segment.start..segment.start + segment.len].to_vec();
            let mut above = segment.parent;
            while let Some(parent) = above {
                let Segment { start, len, .. } = tree.segments[parent];
                ids.splice(0..0, tree.ids[start..start + len].iter().copied());
                above = tree.segments[parent].parent;
            }
            assert_eq!(ids.len(), segment.position + segment.len);
            leaves.push(ids);
        }
        for row in &rows {
            assert!(
                leaves.iter().any(|leaf| leaf.starts_with(&row.ids)),
                "{:?}",
                row.ids
            );
        }
    }
}
