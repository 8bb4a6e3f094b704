//! The sampler chooses a token from logits.
//!
//! The order is that of transformers' logits processors: repetition penalty, the constraint (which
//! the writer applies), temperature, `top_k`, `top_p`, `min_p`. `tests/golden/sampling.json` holds
//! the logits that transformers' processors give.

use super::GenerateConfig;
use crate::error::{Error, Result};
use crate::ops::simd::{exp, max, sum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toolcall_macros::vectorized;

/// Chooses the tokens of one reply.
pub(super) struct Sampler {
    temperature: f32,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: f32,
    random: ChaCha8Rng,
}

/// A token id that can be chosen, and its logit: the distance from the largest one, divided by the
/// temperature. It is 0 for the most likely token.
type Candidate = (u32, f32);

impl Sampler {
    /// Makes the sampler of reply number `index` in a batch. Each reply has its own random
    /// generator, seeded with `seed + index`, so that it does not depend on the other replies.
    ///
    /// # Errors
    /// Invalid settings.
    pub fn new(config: &GenerateConfig, index: usize) -> Result<Self> {
        config.check()?;
        Ok(Self {
            temperature: config.temperature as f32,
            top_k: config.top_k,
            top_p: config.top_p.map(|p| p as f32),
            min_p: config.min_p.map(|p| p as f32),
            repetition_penalty: config.repetition_penalty as f32,
            random: ChaCha8Rng::seed_from_u64(config.seed.wrapping_add(index as u64)),
        })
    }

    /// Makes the tokens of `seen` less likely, once each, however often they occur: a positive
    /// logit is divided by the penalty, a negative one multiplied (transformers'
    /// `RepetitionPenaltyLogitsProcessor`).
    pub fn penalize(&self, seen: &[u32], logits: &mut [f32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            let logit = &mut logits[id as usize];
            *logit = match *logit < 0.0 {
                true => *logit * self.repetition_penalty,
                false => *logit / self.repetition_penalty,
            };
        }
    }

    /// Returns a token id and the natural logarithm of the probability with which it was chosen.
    /// Greedy decoding takes the most likely token, and the first of equals.
    ///
    /// # Errors
    /// The largest logit is not finite, as in a model with damaged weights.
    pub fn choose(&mut self, logits: &[f32]) -> Result<(u32, f32)> {
        let (best, lse) = best_and_log_sum_exp(logits);
        let Some(id) = logits
            .iter()
            .position(|&l| l == best)
            .filter(|_| best.is_finite())
        else {
            return Err(no_number(best));
        };
        if self.temperature == 0.0 {
            return Ok((id as u32, best - lse));
        }
        // Draw from the softmax over the candidates: walk the weights until they exceed the random
        // number.
        let candidates = self.candidates(logits, best);
        let weights: Vec<f32> = candidates.iter().map(|c| exp(c.1)).collect();
        let total: f32 = weights.iter().sum();
        let mut rest = self.random.random::<f32>() * total;
        let chosen = weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        });
        let chosen = chosen.unwrap_or(0); // rounding can leave the rest at 0 or above
        Ok((candidates[chosen].0, (weights[chosen] / total).ln()))
    }

    /// Returns the tokens that the sampling filters leave, the most likely first. `best` is the
    /// largest of the logits.
    fn candidates(&self, logits: &[f32], best: f32) -> Vec<Candidate> {
        // 1. Temperature; tokens that the constraint has masked drop out. The largest logit is
        //    subtracted first, so that no quotient can overflow to infinity.
        let scaled = logits.iter().map(|logit| (logit - best) / self.temperature);
        let mut left: Vec<Candidate> = (0..)
            .zip(scaled)
            .filter(|(_, logit)| *logit > f32::NEG_INFINITY)
            .collect();
        // 2. top_k keeps the k largest logits and those equal to the smallest of them.
        if let Some(k) = self.top_k.filter(|&k| k < left.len()) {
            let mut logits: Vec<f32> = left.iter().map(|c| c.1).collect();
            let (_, least, _) = logits.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            left.retain(|c| c.1 >= *least);
        }
        left.sort_by(|a, b| b.1.total_cmp(&a.1));
        // 3. top_p keeps the smallest set of the most likely tokens whose probabilities sum to p.
        if let Some(p) = self.top_p {
            let weights: Vec<f32> = left.iter().map(|c| exp(c.1)).collect();
            let total: f32 = weights.iter().sum();
            let mut before = 0.0;
            // A token stays as long as the more likely ones sum to less than p.
            let kept = weights.iter().take_while(|&weight| {
                let keep = before < p * total;
                before += weight;
                keep
            });
            let kept = kept.count().max(1);
            left.truncate(kept);
        }
        // 4. min_p keeps tokens at least p times as likely as the most likely one.
        if let Some(p) = self.min_p {
            left.retain(|c| exp(c.1) >= p);
        }
        left
    }
}

/// Makes the error for logits whose largest one is `best`.
fn no_number(best: f32) -> Error {
    let problem = format!(
        "the largest is {best}, expected a number; the weights of the model may be damaged: load them again"
    );
    Error::library("logits")(problem)
}

/// Returns the log-sum-exp: `ln Σ e^x`.
pub(super) fn log_sum_exp(x: &[f32]) -> f32 {
    best_and_log_sum_exp(x).1
}

/// Returns the largest element and the log-sum-exp, computed as `max + ln Σ e^(x - max)`.
#[vectorized]
fn best_and_log_sum_exp(x: &[f32]) -> (f32, f32) {
    let best = max(x);
    let (parts, rest) = x.as_chunks::<64>();
    let mut total: f32 = rest.iter().map(|x| exp(x - best)).sum();
    for part in parts {
        total += sum(&part.map(|x| exp(x - best)));
    }
    (best, best + total.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    const GOLDEN: &str = include_str!("../../tests/golden/sampling.json");

    fn config(settings: &Value) -> GenerateConfig {
        GenerateConfig::read(settings.as_object().unwrap_or(&Map::new())).unwrap()
    }

    fn numbers(list: &Value) -> Vec<f32> {
        let list = list.as_array().unwrap().iter();
        list.map(|x| x.as_f64().map_or(f32::NEG_INFINITY, |x| x as f32))
            .collect()
    }

    /// Compares the tokens that each setting leaves, and their scores, with transformers.
    #[test]
    fn the_scores_are_those_of_transformers() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let seen: Vec<u32> = serde_json::from_value(golden["seen"].clone()).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let sampler = Sampler::new(&config(&case["settings"]), 0).unwrap();
            let mut logits = numbers(&golden["logits"]);
            sampler.penalize(&seen, &mut logits);
            if sampler.temperature > 0.0 {
                let best = max(&logits);
                let candidates = sampler.candidates(&logits, best);
                logits.fill(f32::NEG_INFINITY);
                candidates
                    .iter()
                    .for_each(|&(id, logit)| logits[id as usize] = logit + best / sampler.temperature);
            }
            for (id, (got, want)) in logits.iter().zip(numbers(&case["scores"])).enumerate() {
                assert!(
                    *got == want || (got - want).abs() < 1e-5,
                    "{}: {id}: {got}, not {want}",
                    case["settings"]
                );
            }
        }
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let config = GenerateConfig {
            temperature: 1.0,
            ..GenerateConfig::default()
        };
        let mut sampler = Sampler::new(&config, 0).unwrap();
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            let (id, logprob) = sampler.choose(&logits).unwrap();
            assert!((logprob - logits[id as usize]).abs() < 1e-5);
            counts[id as usize] += 1;
        }
        for (i, count) in counts.into_iter().enumerate() {
            assert!((count - 1000 * (i as i32 + 1)).abs() < 200, "{counts:?}");
        }
    }

    #[test]
    fn greedy_takes_the_best_and_says_how_likely_it_was() {
        let mut logits: Vec<f32> = (0..300).map(|i| (i % 7) as f32 * 0.1).collect();
        logits[200] = 5.0;
        let total: f32 = logits.iter().map(|x| x.exp()).sum();
        let (id, logprob) = Sampler::new(&GenerateConfig::default(), 0)
            .unwrap()
            .choose(&logits)
            .unwrap();
        assert_eq!(id, 200);
        assert!((logprob - (5.0 - total.ln())).abs() < 1e-5);
    }

    #[test]
    fn the_smallest_numbers_take_the_best_token_too() {
        for settings in [
            json!({"do_sample": true, "temperature": 1e-40}),
            json!({"do_sample": true, "temperature": 1e-40, "top_p": 1e-50, "min_p": 1e-50}),
            json!({"do_sample": true, "temperature": 1e-300}),
            json!({"do_sample": true, "temperature": 1.0, "top_p": 1e-50}),
        ] {
            for logits in [
                [-3.0, -1.0, -2.0],
                [3.0, 5.0, 4.0],
                [0.0, 1e30, f32::NEG_INFINITY],
            ] {
                let chosen = Sampler::new(&config(&settings), 0).unwrap().choose(&logits);
                let (id, logprob) = chosen.unwrap();
                assert!(
                    id == 1 && logprob.is_finite(),
                    "{settings} {logits:?}: {id}, {logprob}"
                );
            }
        }
    }

    #[test]
    fn logits_without_a_number_are_an_error() {
        for logits in [[f32::NAN; 3], [f32::NEG_INFINITY; 3], [0.0, f32::INFINITY, 0.0]] {
            for settings in [json!({}), json!({"do_sample": true})] {
                let mut sampler = Sampler::new(&config(&settings), 0).unwrap();
                let error = sampler.choose(&logits).unwrap_err().to_string();
                assert!(error.contains("expected a number"), "{error}");
            }
        }
    }
}
