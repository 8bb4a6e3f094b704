//! The JSON of replies, whole or in chunks.

use crate::generate::Token;
use crate::machine::now;
use crate::tokens::Tokenizer;
use serde_json::{Map, Value, json};

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Delta {
    /// Part of the model's thought.
    Reasoning(String),
    /// Part of the answer's text.
    Content(String),
    /// A complete call.
    Call(Call),
}

/// A call in the form that clients get.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// Number of the call in the reply.
    pub index: usize,
    /// Id that the tool's answer refers to.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments: a JSON object as a string.
    pub arguments: String,
    /// Confidence of the model in the call, if it is known.
    pub confidence: Option<f32>,
}

impl Call {
    /// Writes the call for a whole reply; a chunk has the `index` too.
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
            "confidence": self.confidence,
        })
    }
}

/// Fields at the beginning of all chunks of a reply.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    id: String,
    created: u64,
    model: String,
}

/// Tokens that were read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens of the prompt that were in the KV cache.
    pub cached: usize,
    /// Tokens of the reply.
    pub completion: usize,
}

impl Usage {
    fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }
}

impl Head {
    /// Begins a new reply by the model of this name.
    pub fn new(model: &str) -> Self {
        Self {
            id: random_id("chatcmpl-"),
            created: now() as u64,
            model: model.to_string(),
        }
    }

    fn object(&self, kind: &str, choices: Value) -> Map<String, Value> {
        let entries = [
            ("id", json!(self.id)),
            ("object", json!(kind)),
            ("created", json!(self.created)),
            ("model", json!(self.model)),
            ("choices", choices),
        ];
        entries
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect()
    }

    /// Writes a whole reply: OpenAI's `chat.completion`.
    pub fn whole(&self, deltas: Vec<Delta>, reason: &str, logprobs: Option<Value>, usage: Usage) -> Value {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null});
        for delta in deltas {
            add(&mut message, delta);
        }
        let silent = message["content"].is_null() && message.get("tool_calls").is_none();
        if silent {
            message["content"] = json!("");
        }
        let choice = json!({
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": reason,
        });
        let mut whole = self.object("chat.completion", json!([choice]));
        whole.insert("usage".to_string(), usage.to_json());
        whole.into()
    }

    /// Writes a chunk of a reply: OpenAI's `chat.completion.chunk`. The last one has the `reason`
    /// why the reply ended.
    pub fn piece(&self, delta: Value, reason: Option<&str>, logprobs: Option<Value>) -> Value {
        let choice = json!({
            "index": 0,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        });
        self.object("chat.completion.chunk", json!([choice])).into()
    }

    /// Writes the chunk after the last one, with the usage, for clients that ask for it.
    pub fn usage_piece(&self, usage: Usage) -> Value {
        let mut piece = self.object("chat.completion.chunk", json!([]));
        piece.insert("usage".to_string(), usage.to_json());
        piece.into()
    }
}

/// Adds a delta to a message.
fn add(message: &mut Value, delta: Delta) {
    let append = |message: &mut Value, field: &str, text: &str| {
        let before = message[field].as_str().unwrap_or_default();
        message[field] = json!(format!("{before}{text}"));
    };
    match delta {
        Delta::Reasoning(text) => append(message, "reasoning_content", &text),
        Delta::Content(text) => append(message, "content", &text),
        Delta::Call(call) => {
            let call = call.to_json();
            match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                Some(calls) => calls.push(call),
                None => message["tool_calls"] = json!([call]),
            }
        }
    }
}

impl Delta {
    /// Writes the `delta` of a chunk.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Reasoning(text) => json!({ "reasoning_content": text }),
            Self::Content(text) => json!({ "content": text }),
            Self::Call(call) => {
                let mut call_json = call.to_json();
                call_json["index"] = json!(call.index);
                json!({ "tool_calls": [call_json] })
            }
        }
    }
}

/// Writes the `logprobs` of a choice: the log probability of each token, with the likeliest
/// alternatives. The bytes are those of the vocabulary, so joined they are the text even where a
/// character takes several tokens.
pub(crate) fn logprobs(tokens: &[Token], tokenizer: &Tokenizer) -> Value {
    let entry = |id: u32, logprob: f32| {
        let bytes = tokenizer.bytes_of(id);
        json!({"token": shown(&bytes), "logprob": round(logprob), "bytes": bytes})
    };
    let token = |token: &Token| {
        let likeliest = token.likeliest.iter();
        let likeliest: Vec<Value> = likeliest.map(|(id, logprob)| entry(*id, *logprob)).collect();
        // A forced token had no alternatives; it is certain.
        let mut all = entry(token.id, token.logprob.unwrap_or(0.0));
        all["top_logprobs"] = likeliest.into();
        all
    };
    json!({"content": tokens.iter().map(token).collect::<Vec<_>>(), "refusal": null})
}

/// Shows a token. Bytes that are not UTF-8 by themselves are escaped, as OpenAI does it.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
    }
}

/// Returns the number that OpenAI writes for an impossible token, because JSON has no infinity.
fn round(logprob: f32) -> f64 {
    if logprob.is_finite() {
        f64::from(logprob)
    } else {
        -9999.0
    }
}

/// Returns a random id that begins with `prefix`.
pub(crate) fn random_id(prefix: &str) -> String {
    format!(
        "{prefix}{:016x}{:08x}",
        rand::random::<u64>(),
        rand::random::<u32>()
    )
}
