//! The paths of the server and their handlers.

mod answer;
mod ask;
mod body;
mod connection;
mod guard;
mod log;
mod paths;
mod shared;
mod telling;

pub(super) use ask::check_tools;
pub(super) use shared::{Served, Shared};

use super::wire::{ChatRequest, Delta, Fields, Refusal, body_object};
use answer::{answer, events, json, refused};
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use log::Asked;
use serde_json::{Map, Value, json};
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Content security policy of the page: it contains its script and style, and asks this server
/// only.
const ONLY_OURS: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves until `stop` is ready, and completes running requests.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: impl Future<Output = ()>) {
    let (grace, all) = (shared.config.grace, shared.clone());
    let router = Router::new()
        .route("/", get(page))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/tools", get(tools))
        .route("/predict", post(predict))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/v1/models/{*model}", get(one_model))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared);
    connection::serve(listener, router, stop, grace, || all.give_up()).await;
}

type At = State<Arc<Shared>>;

/// `POST /v1/chat/completions`: a reply, whole or as a stream.
async fn chat(State(shared): At, Extension(logged): Extension<Asked>, request: Request) -> Response {
    let answered = async {
        let body = body_object(&body::read(&shared, request).await?)?;
        let name = body.get("model").and_then(Value::as_str);
        let served = shared.model(name)?;
        let asked = ChatRequest::read(body, &served.defaults)?;
        let streamed = asked.stream;
        let (telling, told) = ask::ask(&shared, served, asked).await?;
        Ok(match streamed {
            true => events(Body::new(telling.stream(told, logged).await?)),
            false => json(&telling.whole(told).await?),
        })
    };
    answered
        .await
        .unwrap_or_else(|refusal: Refusal| refused(&refusal))
}

/// `POST /predict`: from `{"text": …}` to calls, content and confidence.
async fn predict(State(shared): At, request: Request) -> Response {
    let answered = async {
        let body = body_object(&body::read(&shared, request).await?)?;
        let (name, text) = prediction(body)?;
        let served = shared.model(name.as_deref())?;
        let asked = ChatRequest::of_text(text, &served.tools, &served.defaults);
        let (mut telling, mut told) = ask::ask(&shared, served, asked).await?;
        let (deltas, reason) = telling.all(&mut told).await?;
        Ok(json(&predicted(deltas, reason)))
    };
    answered
        .await
        .unwrap_or_else(|refusal: Refusal| refused(&refusal))
}

/// Reads the body of `/predict`: the model's name, if given, and the text.
fn prediction(body: Map<String, Value>) -> Result<(Option<String>, String), Refusal> {
    let mut fields = Fields::of("", body);
    let name = fields.text("model")?;
    let Some(text) = fields.text("text")?.filter(|text| !text.trim().is_empty()) else {
        return Err(Refusal::of_field("text", "missing; expected the user's message"));
    };
    fields.end(&[(
        "messages",
        "is not supported here; send a conversation to POST /v1/chat/completions",
    )])?;
    Ok((name, text))
}

/// Writes the answer of `/predict`; its confidence is that of the least sure call.
fn predicted(deltas: Vec<Delta>, reason: &str) -> Value {
    let (mut calls, mut content, mut least) = (Vec::new(), String::new(), None::<f32>);
    for delta in deltas {
        match delta {
            Delta::Reasoning(_) => {}
            Delta::Content(text) => content += &text,
            Delta::Call(call) => {
                least = match (least, call.confidence) {
                    (Some(least), Some(sure)) => Some(least.min(sure)),
                    (least, sure) => least.or(sure),
                };
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                calls.push(json!({"name": call.name, "arguments": arguments, "confidence": call.confidence}));
            }
        }
    }
    json!({"calls": calls, "content": content, "confidence": least, "finished": reason != "length"})
}

async fn page() -> Response {
    let mut page = answer("text/html; charset=utf-8", include_str!("../page.html"));
    page.headers_mut()
        .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ONLY_OURS));
    page
}

async fn openapi() -> Response {
    answer("application/json", include_str!("../openapi.json"))
}

async fn health(State(shared): At) -> Response {
    let models: Vec<&str> = shared.models.iter().map(|served| &*served.name).collect();
    json(&json!({"status": "ok", "models": models}))
}

async fn metrics(State(shared): At) -> Response {
    answer("text/plain; version=0.0.4; charset=utf-8", shared.metrics.text())
}

/// `GET /tools`: the tools of each model, for the page.
async fn tools(State(shared): At) -> Response {
    let tools = shared
        .models
        .iter()
        .map(|served| (served.name.clone(), json!(served.tools)));
    json(&Value::Object(tools.collect()))
}

/// Describes a model like OpenAI's API.
fn described(served: &Served) -> Value {
    let model = &served.model.decoder.config;
    json!({
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "toolcall",
        "max_model_len": model.max_position_embeddings,
    })
}

async fn models(State(shared): At) -> Response {
    let models: Vec<Value> = shared.models.iter().map(|served| described(served)).collect();
    json(&json!({"object": "list", "data": models}))
}

async fn one_model(State(shared): At, name: Result<Path<String>, PathRejection>) -> Response {
    let found = match &name {
        Ok(Path(name)) => shared.model(Some(name)),
        Err(_) => Err(Refusal::of_field("model", "the name is not valid UTF-8")),
    };
    match found {
        Ok(served) => json(&described(served)),
        Err(refusal) => refused(&refusal),
    }
}

async fn no_such_path(request: Request) -> Response {
    let path = request.uri().path();
    refused(&Refusal::no_such_path(path, &paths::advice(path)))
}

async fn wrong_method(request: Request) -> Response {
    refused(&Refusal::wrong_method(
        request.method().as_str(),
        request.uri().path(),
    ))
}
