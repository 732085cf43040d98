//! A server without anything behind it, for h2load and the like: `serve [PORT]` answers each
//! request with as many bytes as its path says (`/1000`; else 2), in clear text.

use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use ringgate_core::{
    BodyLength, Chunk, ConnectionInfo, Fault, Frame, Limits, Receive, Respond, ResponseHead,
    Scheme, Timeouts,
};
use ringgate_http2::server::{Incoming, ServerExchange, Settings};
use ringgate_io::{EngineChoice, EngineSpec, Listener, Stream};

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
    let settings = Settings::new(Limits::default(), Timeouts::default(), Scheme::Http);
    let settings_of = Rc::new(settings);
    let served = ringgate_io::run(EngineChoice::Auto, &EngineSpec::default(), |_| async move {
        let listener = Listener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let settings = settings_of.clone();
            ringgate_io::spawn(async move {
                if let Err(fault) = connection(stream, settings).await {
                    eprintln!("{fault}");
                }
            });
        }
    });
    served.expect("an engine");
}

async fn connection(stream: Stream, settings: Rc<Settings>) -> Result<(), Fault> {
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let info = Rc::new(ConnectionInfo { peer: address, local: address, tls: None, id: 0 });
    let (reader, writer) = stream.into_split();
    let nothing = Chunk::copy_of(b"");
    let mut connection = ringgate_http2::accept(reader, writer, nothing, settings, info).await?;
    let result = loop {
        match connection.next().await {
            Ok(Some(Incoming::Request(exchange))) => ringgate_io::spawn(async move {
                let _ = serve(exchange).await;
            }),
            Ok(Some(Incoming::Refused { fault, mut client })) => client.reset(&fault),
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        }
    };
    connection.close().await;
    result
}

async fn serve(exchange: ServerExchange) -> Result<(), Fault> {
    let ServerExchange { head, mut body, mut client, .. } = exchange;
    if !head.body.is_empty() {
        while let Frame::Data(chunk) = body.frame().await? {
            body.consumed(chunk.len());
        }
    }
    let size = head.path().get(1..).and_then(|path| std::str::from_utf8(path).ok()?.parse().ok());
    let mut left: usize = size.unwrap_or(2);
    let mut answer = ResponseHead::new(200);
    answer.body = BodyLength::Exact(left as u64);
    client.head(answer, false).await?;
    while left > 0 {
        let piece = left.min(65_536);
        left -= piece;
        client.send(Frame::Data(Chunk::copy_of(&[b'x'; 65_536][..piece]))).await?;
    }
    client.send(Frame::End).await
}
