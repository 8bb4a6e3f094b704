//! The result of a generation: the text, its tokens, and how sure the model was.

/// A reply of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Token ids of the reply, without the one that ended it.
    pub ids: Vec<u32>,
    /// Text of the reply: `ids` decoded, or [`unsure_reply`](super::GenerateConfig::unsure_reply)
    /// if the reply was withheld.
    pub text: String,
    /// Natural logarithm of the probability with which each token was chosen: after the repetition
    /// penalty and the constraint, and for sampled tokens after temperature, top_k, top_p and
    /// min_p. 0 for a token that the constraint forced.
    pub logprobs: Vec<f32>,
    /// Natural logarithm of the probability that the model itself gave each token, before penalty,
    /// constraint and sampling filters. `None` for a token that the constraint forced, for which
    /// the model was not asked.
    pub model_logprobs: Vec<Option<f32>>,
    /// The likeliest tokens at each place in the model's own distribution, with the natural
    /// logarithms of their probabilities: [`top_logprobs`](super::GenerateConfig::top_logprobs)
    /// entries per token, and none for a forced token.
    pub top_logprobs: Vec<Vec<(u32, f32)>>,
    /// Confidence of each call that [`reply::parse`](crate::reply::parse) reads in the reply, from
    /// 0 to 1: the product of the model's own probabilities of the call's tokens. Forced tokens
    /// count as certain. Empty for calls in another syntax than that of Hermes and Qwen.
    pub confidences: Vec<f32>,
    /// The text that the model wrote, if a call in it had less confidence than
    /// [`min_confidence`](super::GenerateConfig::min_confidence); `text` is then
    /// [`unsure_reply`](super::GenerateConfig::unsure_reply).
    pub withheld: Option<String>,
    /// True if the reply is complete: the model ended it, the constraint allowed no further token,
    /// or it began to repeat a call and was ended before that. False if `max_new_tokens`, the end
    /// of the context or the user cut it off; a call that was cut off is malformed.
    pub finished: bool,
}

impl Generation {
    /// Wraps a reply that was written elsewhere and ended by itself; its tokens are unknown.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            finished: true,
            ..Self::default()
        }
    }
}
