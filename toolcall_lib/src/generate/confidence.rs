//! Confidence of a call: the probability with which the model writes exactly its tokens.

use crate::reply::call_spans;

/// Returns the confidence of each call in `text`, from 0 to 1.
///
/// `ends[i]` is the byte of `text` at which token `i` ends, `logprobs[i]` the natural logarithm of
/// its probability in the model's own distribution, `None` for a token that the constraint forced.
pub(crate) fn confidences(text: &str, ends: &[usize], logprobs: &[Option<f32>]) -> Vec<f32> {
    let of_span = |span: std::ops::Range<usize>| {
        // Tokens `first..=last` overlap the bytes of the call.
        let first = ends.partition_point(|&end| end <= span.start);
        let last = ends.partition_point(|&end| end < span.end);
        let tokens = &logprobs[first.min(logprobs.len())..logprobs.len().min(last + 1)];
        confidence(tokens.iter().flatten().copied())
    };
    call_spans(text).into_iter().map(of_span).collect()
}

/// Multiplies the probabilities of a call's tokens, from the tag that begins it to the tag that
/// ends it.
fn confidence(logprobs: impl Iterator<Item = f32>) -> f32 {
    logprobs.sum::<f32>().exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_probability_of_its_own_tokens() {
        let pieces = [
            "Well.\n",
            "<tool_call>",
            "{\"name\": ",
            "\"f\"}",
            "</tool_call>\n",
            "<tool_call>{\"name\": \"g\"}",
            "</tool",
            "_call>",
        ];
        let text = pieces.concat();
        let mut end = 0;
        let ends = pieces.map(|piece| {
            end += piece.len();
            end
        });
        let likely = [0.1, 0.9, 1.0, 0.8, 0.5, 0.7, 1.0, 1.0].map(|p: f32| Some(p.ln()));
        let got = confidences(&text, &ends, &likely);
        assert!(
            (got[0] - 0.36).abs() < 1e-6 && (got[1] - 0.7).abs() < 1e-6,
            "{got:?}"
        );
        let mut forced = likely;
        (forced[1], forced[5]) = (None, None);
        let got = confidences(&text, &ends, &forced);
        assert!((got[0] - 0.4).abs() < 1e-6 && got[1] == 1.0, "{got:?}");
        assert_eq!(confidences("no call", &[7], &[Some(-1.0)]), [0.0; 0]);
        assert_eq!(
            confidences(&text[..40], &ends[..4], &likely[..4]),
            [0.0; 0],
            "a call that was cut off is none"
        );
    }
}
