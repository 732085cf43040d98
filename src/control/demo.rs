//! The target behind `--demo`: a small HTTP server on loopback that tells what it got.

use std::io;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Opens the target on a free port of loopback.
pub(super) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers requests for as long as the process runs.
pub(super) async fn serve(listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, axum::Router::new().fallback(tell)).await
}

async fn tell(request: Request) -> Json<Value> {
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect();
    Json(json!({
        "message": "Ringgate works: this is its demo target.",
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "headers": headers,
    }))
}
