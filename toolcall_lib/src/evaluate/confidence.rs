//! Exactness of the calls that the model is most confident of.

use super::score::Score;
use serde_json::{Value, json};

/// Shares of the calls that are shown, in percent.
const SHARES: [usize; 4] = [100, 90, 80, 60];

/// A call that a model wrote.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct CallScore {
    /// Confidence of the model; see
    /// [`Generation::confidences`](crate::generate::Generation::confidences).
    pub confidence: f32,
    /// True if the call is one that the row has at that turn, including its arguments, and the
    /// reply ended by itself.
    pub exact: bool,
}

/// The exact calls among a share of the calls that the model is most confident of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MostConfident {
    /// Size of the share: percent of all calls.
    pub percent: usize,
    /// Lowest confidence within the share.
    pub min_confidence: f32,
    /// Number of exact calls within the share.
    pub exact: Score,
}

/// Counts exact calls among all calls and among the most confident 90, 80 and 60 %. Returns nothing
/// if there is no call. A share's size is rounded up to whole calls.
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

/// Returns the shares as an evaluation's JSON has them.
pub(super) fn to_json(calls: &[CallScore]) -> Vec<Value> {
    let among = most_confident(calls).into_iter();
    among
        .map(|part| {
            json!({"percent": part.percent, "min_confidence": part.min_confidence, "count": part.exact.count,
                "total": part.exact.total})
        })
        .collect()
}
