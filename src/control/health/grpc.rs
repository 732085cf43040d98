//! One call of `grpc.health.v1.Health/Check`, over HTTP/2.

use std::io;

use h2::client::handshake;
use http::Request;
use prost_reflect::prost::Message;
use ringgate_grpc::{MessageReader, framed, is_grpc};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::health::Outcome;

/// Bytes of an answer that are looked at.
const ANSWER_MAX: usize = 4096;

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SERVING`
const SERVING: i32 = 1;

/// How a node is asked.
pub(super) struct Call {
    /// `:scheme`.
    pub(super) scheme: &'static str,
    /// `:authority`.
    pub(super) authority: String,
    /// Empty: the node as a whole.
    pub(super) service: String,
}

impl Call {
    /// What a call shows: `SERVING`, or anything else.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub(super) async fn check(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<Outcome> {
        match self.state(stream).await {
            Ok(Some(SERVING)) => Ok(Outcome::Success),
            // Another state, a failed call, or no HTTP/2 at all: an unhealthy answer.
            Ok(_) => Ok(Outcome::HttpFailure),
            Err(error) if error.is_io() => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(_) => Ok(Outcome::HttpFailure),
        }
    }

    /// The state that the node tells; [`None`]: its answer holds none.
    async fn state(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Option<i32>, h2::Error> {
        let Call { scheme, authority, service } = self;
        let Ok(request) =
            Request::post(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
                .version(http::Version::HTTP_2)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
        else {
            return Ok(None);
        };
        let (client, connection) = handshake(stream).await?;
        let mut connection = std::pin::pin!(connection);
        let answer = async {
            let mut client = client.ready().await?;
            let (answer, mut body) = client.send_request(request, false)?;
            let message = CheckRequest { service: service.clone() }.encode_to_vec();
            body.send_data(framed(&message), true)?;
            let (head, mut body) = answer.await?.into_parts();
            let content_type = head.headers.get(http::header::CONTENT_TYPE);
            let is_call = content_type.is_some_and(|value| is_grpc(value.as_bytes()));
            if head.status != http::StatusCode::OK || !is_call {
                return Ok(None);
            }
            let (mut reader, mut taken) = (MessageReader::new(ANSWER_MAX), 0);
            while let Some(data) = body.data().await {
                let data = data?;
                taken += data.len();
                match reader.next(&mut &data[..]) {
                    Ok(Some(message)) if !message.is_compressed() => {
                        let read = CheckResponse::decode(message.payload);
                        return Ok(read.ok().map(|answer| answer.status));
                    }
                    Ok(None) if taken <= ANSWER_MAX => {}
                    _ => return Ok(None),
                }
            }
            Ok(None)
        };
        tokio::select! {
            answer = answer => answer,
            // It moves the call along, and ends first only where it breaks.
            ended = connection.as_mut() => ended.map(|()| None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, Ordering};

    use http::{HeaderMap, HeaderValue, Response};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A node with the health service: `known` is in a state, others are unknown to it. States
    /// below 0 are other ways to answer.
    async fn node(state: Arc<AtomicI32>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.load(Ordering::Relaxed);
                if state == -1 {
                    continue;
                }
                tokio::spawn(serve(stream, state));
            }
        });
        address
    }

    async fn serve(stream: TcpStream, state: i32) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (head, mut body) = request.into_parts();
            assert_eq!(head.uri.path(), "/grpc.health.v1.Health/Check");
            assert_eq!(head.uri.authority().map(|name| name.as_str()), Some("node.test"));
            assert_eq!(head.headers["te"], "trailers");
            tokio::spawn(async move {
                let data = body.data().await.expect("a body").expect("data");
                let message = MessageReader::new(64).next(&mut &data[..]).unwrap().unwrap();
                let asked = CheckRequest::decode(message.payload).unwrap().service;
                let head = Response::builder().header("content-type", "application/grpc");
                if asked != "known" {
                    let head = head.header("grpc-status", "5").body(()).unwrap();
                    respond.send_response(head, true).unwrap();
                    return;
                }
                let mut out = respond.send_response(head.body(()).unwrap(), false).unwrap();
                let answer = CheckResponse { status: state }.encode_to_vec();
                let mut answer = framed(&answer);
                let rest = answer.split_off(2);
                out.send_data(answer, false).unwrap();
                out.send_data(rest, false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                out.send_trailers(trailers).unwrap();
            });
        }
    }

    async fn check(address: SocketAddr, service: &str) -> Option<Outcome> {
        let (scheme, authority) = ("http", "node.test".to_owned());
        let call = Call { scheme, authority, service: service.to_owned() };
        call.check(TcpStream::connect(address).await.expect("a connection")).await.ok()
    }

    #[tokio::test]
    async fn only_serving_is_healthy() {
        let state = Arc::new(AtomicI32::new(SERVING));
        let address = node(state.clone()).await;
        assert_eq!(check(address, "known").await, Some(Outcome::Success));
        assert_eq!(check(address, "other").await, Some(Outcome::HttpFailure));
        for not_serving in [0, 2, 3] {
            state.store(not_serving, Ordering::Relaxed);
            assert_eq!(check(address, "known").await, Some(Outcome::HttpFailure));
        }
        state.store(-1, Ordering::Relaxed);
        let closed = check(address, "known").await;
        assert!(matches!(closed, None | Some(Outcome::HttpFailure)), "{closed:?}");
    }
}
