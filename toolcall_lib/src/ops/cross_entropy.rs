//! Output projection and cross-entropy in one.
//!
//! Logits exist for a few rows at a time only, and their gradient is computed in the forward pass,
//! so nothing of size `[tokens, vocabulary]` is kept. A row is a token whose successor is
//! predicted; it may have several targets, because sequences of a packed tree branch there.

use super::buffer::Buffer;
use super::linear::{linear_backward_weight, linear_tiles, linear_tiles_backward_input};
use super::matmul::{Output, Precision};
use super::simd::{exp, max};
use crate::weights::Tensor;
use rayon::prelude::*;
use toolcall_macros::vectorized;

/// Number of logits that exist at a time (32 MiB): enough rows for efficient products, few enough
/// to stay small.
const LOGITS_AT_A_TIME: usize = 1 << 23;
/// Minimum number of rows at a time, which products need even with the largest vocabulary.
const FEWEST_ROWS: usize = 128;

/// A target of one row of the hidden states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowTarget {
    /// Row of the hidden states.
    pub row: usize,
    /// Id of the token that should follow.
    pub id: u32,
    /// Number of sequences in which it follows.
    pub weight: f32,
}

/// Sums over targets, each of which counts `weight` times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Negative log-likelihood in nats.
    pub loss: f64,
    /// Number of targets that `torch.argmax` would choose: the first of the largest logits of their
    /// row.
    pub correct: f64,
}

impl std::ops::AddAssign for LossSum {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
    }
}

/// Returns `Σ weight · −log softmax(hidden · projectionᵀ)[id]` over `targets`, which must be
/// ordered by row, and the number of correct first guesses.
///
/// `hidden` is `[rows, width]` and `projection` is `[vocabulary, width]`. With
/// `gradients = (dhidden, dprojection)`, `dhidden` is overwritten and `dprojection`, if it is
/// wanted, is added to. `logits` is scratch memory that is reused between calls.
pub fn cross_entropy(
    hidden: &[f32],
    projection: Tensor<'_>,
    targets: &[RowTarget],
    mut gradients: Option<(&mut [f32], Option<&mut [f32]>)>,
    logits: &mut Buffer,
    precision: Precision,
) -> LossSum {
    let (vocabulary, width) = (projection.rows(), projection.columns());
    let mut sum = LossSum::default();
    let mut rest = targets;
    let rows_at_a_time = rows_at_a_time(hidden.len() / width, vocabulary);
    for (chunk, hidden) in hidden.chunks(rows_at_a_time * width).enumerate() {
        // 1. The targets of this chunk of rows.
        let (first, rows) = (chunk * rows_at_a_time, hidden.len() / width);
        let (here, after) = rest.split_at(rest.partition_point(|t| t.row < first + rows));
        rest = after;
        // 2. Logits: [rows, vocabulary].
        let logits = logits.sized(rows * vocabulary);
        linear_tiles(hidden, projection, logits, precision);
        // 3. Loss; the logits become the gradient of the loss.
        sum += loss_and_logit_gradient(logits, vocabulary, first, here);
        // 4. Gradients of the hidden states and of the projection.
        if let Some((dhidden, dprojection)) = &mut gradients {
            let dhidden = &mut dhidden[first * width..][..rows * width];
            linear_tiles_backward_input(logits, projection, dhidden, precision);
            if let Some(dprojection) = dprojection {
                linear_backward_weight(logits, hidden, dprojection, Output::Add, rows, width, precision);
            }
        }
    }
    sum
}

/// Returns the number of rows per chunk: as few chunks of equal size as the limit allows.
fn rows_at_a_time(rows: usize, vocabulary: usize) -> usize {
    let most = (LOGITS_AT_A_TIME / vocabulary).max(FEWEST_ROWS);
    rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
}

/// Returns the loss of some rows and replaces their logits by the gradient of the loss. `first` is
/// the number of the first row.
fn loss_and_logit_gradient(
    logits: &mut [f32],
    vocabulary: usize,
    first: usize,
    targets: &[RowTarget],
) -> LossSum {
    let rows: Vec<LossSum> = logits
        .par_chunks_exact_mut(vocabulary)
        .enumerate()
        .map(|(i, logits)| {
            let row = first + i;
            let begin = targets.partition_point(|t| t.row < row);
            let end = targets.partition_point(|t| t.row <= row);
            row_loss(logits, &targets[begin..end])
        })
        .collect();
    let mut sum = LossSum::default();
    rows.into_iter().for_each(|row| sum += row);
    sum
}

/// Returns the loss of one row, `Σ w·(lse − logit)`, and replaces its logits by
/// `Σ w · softmax − Σ w · onehot`.
#[vectorized]
fn row_loss(logits: &mut [f32], targets: &[RowTarget]) -> LossSum {
    // 1. Log-sum-exp of the row.
    let max = max(logits);
    let denominator = exp_sum(logits, max);
    let lse = f64::from(max) + f64::from(denominator).ln();
    // 2. Loss and correct guesses of each target.
    let mut sum = LossSum::default();
    for target in targets {
        let (logit, weight) = (logits[target.id as usize], f64::from(target.weight));
        sum.loss += weight * (lse - f64::from(logit));
        let is_first = logit == max && !logits[..target.id as usize].contains(&max);
        sum.correct += if is_first { weight } else { 0.0 };
    }
    // 3. Gradient of the logits, in place.
    let total: f32 = targets.iter().map(|t| t.weight).sum();
    let (shift, scale) = (max, total / denominator);
    logits.iter_mut().for_each(|l| *l = exp(*l - shift) * scale);
    for target in targets {
        logits[target.id as usize] -= target.weight;
    }
    sum
}

/// Returns `Σ e^(l − max)`, in partial sums so that it vectorizes and stays accurate.
#[inline(always)]
fn exp_sum(logits: &[f32], max: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let chunks = logits.chunks_exact(lanes.len());
    let tail: f32 = chunks.remainder().iter().map(|&l| exp(l - max)).sum();
    for chunk in chunks {
        for (lane, &l) in lanes.iter_mut().zip(chunk) {
            *lane += exp(l - max);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradient, random};

    const TARGETS: [RowTarget; 4] = [
        RowTarget {
            row: 0,
            id: 3,
            weight: 1.0,
        },
        RowTarget {
            row: 1,
            id: 0,
            weight: 2.0,
        },
        RowTarget {
            row: 1,
            id: 5,
            weight: 1.0,
        },
        RowTarget {
            row: 2,
            id: 6,
            weight: 3.0,
        },
    ];

    #[test]
    fn gradients_match_finite_differences() {
        let (hidden, projection) = (random(3 * 4, 1), random(7 * 4, 2));
        let loss = |hidden: &[f32], projection: &[f32]| {
            cross_entropy(
                hidden,
                Tensor::new(projection, 4),
                &TARGETS,
                None,
                &mut Buffer::default(),
                Precision::F32,
            )
            .loss as f32
        };
        let (mut dhidden, mut dprojection) = (vec![9.0; 12], vec![0.0; 28]);
        let gradients = Some((&mut dhidden[..], Some(&mut dprojection[..])));
        cross_entropy(
            &hidden,
            Tensor::new(&projection, 4),
            &TARGETS,
            gradients,
            &mut Buffer::default(),
            Precision::F32,
        );
        assert_gradient(&hidden, &dhidden, |hidden| loss(hidden, &projection));
        assert_gradient(&projection, &dprojection, |projection| loss(&hidden, projection));
    }

    #[test]
    fn parts_are_equal_and_within_the_limit() {
        assert_eq!(rows_at_a_time(150, 49_152), 150);
        assert_eq!(rows_at_a_time(300, 49_152), 150);
        assert_eq!(rows_at_a_time(1000, 1 << 24), 125);
        assert_eq!(rows_at_a_time(0, 10), 1);
    }

    #[test]
    fn of_equal_logits_the_first_counts_as_torch_argmax_has_it() {
        let target = |id| RowTarget {
            row: 0,
            id,
            weight: 1.0,
        };
        let correct = |projection: &[f32], id| {
            let (hidden, projection) = ([1.0, 1.0], Tensor::new(projection, 2));
            cross_entropy(
                &hidden,
                projection,
                &[target(id)],
                None,
                &mut Buffer::default(),
                Precision::F32,
            )
            .correct
        };
        let zeros = [0.0; 6]; // logits of a model that knows nothing
        assert_eq!([0, 1, 2].map(|id| correct(&zeros, id)), [1.0, 0.0, 0.0]);
        let two = [1.0, 0.0, 2.0, 1.0, 1.0, 2.0]; // logits 1, 3, 3
        assert_eq!([0, 1, 2].map(|id| correct(&two, id)), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn many_rows_in_parts_equal_each_row_alone() {
        let (rows, vocabulary) = (300, 1 << 17);
        assert!(rows_at_a_time(rows, vocabulary) < rows);
        let (hidden, projection) = (random(rows * 2, 1), random(vocabulary * 2, 2));
        let targets: Vec<RowTarget> = (0..rows)
            .step_by(29)
            .map(|row| RowTarget {
                row,
                id: row as u32 % 5,
                weight: 1.0,
            })
            .collect();
        let loss = |hidden: &[f32], targets: &[RowTarget]| {
            cross_entropy(
                hidden,
                Tensor::new(&projection, 2),
                targets,
                None,
                &mut Buffer::default(),
                Precision::F32,
            )
        };
        let all = loss(&hidden, &targets);
        let mut one_by_one = LossSum::default();
        for target in &targets {
            one_by_one += loss(&hidden[target.row * 2..][..2], &[RowTarget { row: 0, ..*target }]);
        }
        assert!((all.loss - one_by_one.loss).abs() < 1e-3);
        assert_eq!(all.correct, one_by_one.correct);
    }
}
