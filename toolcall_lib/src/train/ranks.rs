//! Messages that the ranks of a run send each other, besides gradients.

use super::config::TrainConfig;
use crate::collective::Collective;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::optimizer::norm;
use crate::tokens::Sequence;
use crate::weights::Parameters;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::take;

/// Refuses ranks that do not train the same: another command started them, or they have other
/// files.
pub(super) fn check_same_run(
    ranks: &dyn Collective,
    model: &Model,
    rows: &[Vec<Sequence>],
    config: &TrainConfig,
) -> Result<()> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let mut settings = DefaultHasher::new();
    format!("{config:?}").hash(&mut settings);
    let tokens: usize = rows.iter().flatten().map(|sequence| sequence.ids.len()).sum();
    let all = ranks.exchange(&[
        f64::from(settings.finish() as u32),
        tokens as f64,
        norm(model.decoder.trainable()?),
    ])?;
    for (rank, numbers) in all.iter().enumerate() {
        let differs = numbers
            .iter()
            .zip(&all[0])
            .position(|(number, first)| number != first);
        if let Some(what) = differs.map(|i| ["settings", "data", "weights"][i]) {
            let advice = "start all ranks with the same command and files";
            let problem = format!("its {what} differ from those of rank 0; {advice}");
            return Err(Error::invalid(format!("rank {rank}"), problem));
        }
    }
    Ok(())
}

/// Lets the first rank decide something for all. If it fails, all ranks fail with its error. The
/// other ranks get nothing.
pub(super) fn first_decides<T>(
    ranks: &dyn Collective,
    decide: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    let own = (ranks.rank() == 0).then(decide).transpose();
    let said = own.as_ref().err().map(Error::to_string);
    match (first_text(ranks, said)?, own) {
        (_, Err(error)) => Err(error),
        (None, own) => own,
        (Some(said), _) => {
            let (place, problem) = said.split_once(": ").unwrap_or(("rank 0", &said));
            Err(Error::invalid(place, problem))
        }
    }
}

/// Returns, on all ranks, the string of the first rank that has one.
pub(super) fn first_text(ranks: &dyn Collective, own: Option<String>) -> Result<Option<String>> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    let bytes = own.map(String::into_bytes).unwrap_or_default();
    let lengths = ranks.exchange(&[bytes.len() as f64])?;
    let Some(teller) = lengths.iter().position(|length| length[0] > 0.0) else {
        return Ok(None);
    };
    let mut numbers: Vec<f64> = bytes.into_iter().map(f64::from).collect();
    numbers.resize(lengths[teller][0] as usize, 0.0); // all ranks exchange as many
    let all = ranks.exchange(&numbers)?;
    let text: Vec<u8> = all[teller].iter().map(|&byte| byte as u8).collect();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Returns this rank's own result if all ranks have succeeded. If one of them has not, all of them
/// get an error.
#[cfg(feature = "cuda")]
pub(super) fn agree<T>(ranks: &dyn Collective, own: Result<T>) -> Result<T> {
    let failed = ranks.exchange(&[f64::from(own.is_err())])?;
    let Some(other) = failed.iter().position(|failed| failed[0] != 0.0) else {
        return own;
    };
    own.and_then(|_| {
        let problem = format!(
            "it cannot use its GPU, so rank {} does not use one either",
            ranks.rank()
        );
        Err(Error::invalid(format!("rank {other}"), problem))
    })
}

/// Returns the number of trees that the ranks before this one have in this step, and the number of
/// the rank with the most.
pub(super) fn tree_numbers(ranks: &dyn Collective, trees: usize) -> Result<(usize, usize)> {
    let counts = ranks.exchange(&[trees as f64])?;
    let counts: Vec<usize> = counts.iter().flatten().map(|&count| count as usize).collect();
    let most = counts.iter().copied().max().unwrap_or(trees);
    Ok((counts[..ranks.rank()].iter().sum(), most))
}

/// Brings to every rank the weights that the others have changed.
pub(super) fn gather(weights: &mut Parameters, ranks: &dyn Collective) -> Result<()> {
    let start = |bucket: &mut Vec<f32>| ranks.start_all_gather(take(bucket));
    let under_way: Vec<_> = weights.buckets.iter_mut().map(start).collect::<Result<_>>()?;
    for (bucket, pending) in weights.buckets.iter_mut().zip(under_way) {
        *bucket = pending.wait()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::threads;
    use std::time::Duration;

    /// Returns what each of three ranks does.
    fn on_ranks<T: Send>(does: impl Fn(&dyn Collective) -> T + Sync) -> Vec<T> {
        let ranks = threads(3, Duration::from_secs(60)).unwrap();
        std::thread::scope(|scope| {
            let ranks: Vec<_> = ranks
                .into_iter()
                .map(|rank| scope.spawn(|| does(&*{ rank })))
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_ranks_hear_the_first_that_has_something_to_tell() {
        let telling = |who: &'static [usize]| {
            on_ranks(move |ranks| {
                let own = who
                    .contains(&ranks.rank())
                    .then(|| format!("é of {}", ranks.rank()));
                first_text(ranks, own).unwrap()
            })
        };
        assert_eq!(telling(&[]), vec![None; 3]);
        assert_eq!(telling(&[2]), vec![Some("é of 2".to_string()); 3]);
        assert_eq!(telling(&[1, 2]), vec![Some("é of 1".to_string()); 3]);
    }

    #[test]
    fn all_ranks_fail_with_the_error_of_the_first() {
        let fails = on_ranks(|ranks| {
            let decide = || Err::<(), _>(Error::invalid("out: x", "is taken: by another"));
            first_decides(ranks, decide).unwrap_err().to_string()
        });
        assert_eq!(fails, vec!["out: x: is taken: by another"; 3]);
        let finds = on_ranks(|ranks| first_decides(ranks, || Ok(7)).unwrap());
        assert_eq!(finds, [Some(7), None, None]);
    }
}
