//! A way to a node, whatever is spoken with it: a pooled HTTP/1.1 connection or a stream of a
//! shared HTTP/2 one, with TLS in between or without.

use std::io;
use std::time::Duration;

use ringgate_core::{
    Answer, Chunk, Fault, Frame, Lease, ReadIo, Receive, RequestHead, ResponseHead, Transmit,
    Upstream, WriteIo,
};
use ringgate_http1::client::{ClientConnection, Receiver, Sender};
use ringgate_http2::ClientStream;
use ringgate_http2::client::{StreamReceiver, StreamSender};
use ringgate_io::{Reader, Writer};
use ringgate_tls::{TlsReader, TlsWriter};

/// The receiving half of a connection to a node.
pub enum NodeReader {
    /// In the clear.
    Plain(Reader),
    /// Behind TLS.
    Tls(Box<TlsReader<Reader>>),
}

/// The sending half of a connection to a node.
pub enum NodeWriter {
    /// In the clear.
    Plain(Writer),
    /// Behind TLS.
    Tls(Box<TlsWriter<Writer>>),
}

impl ReadIo for NodeReader {
    async fn readable(&mut self, within: Duration) -> io::Result<()> {
        match self {
            NodeReader::Plain(reader) => reader.readable(within).await,
            NodeReader::Tls(reader) => reader.readable(within).await,
        }
    }

    async fn recv(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        match self {
            NodeReader::Plain(reader) => reader.recv(lease, within).await,
            NodeReader::Tls(reader) => reader.recv(lease, within).await,
        }
    }

    async fn recv_or_idle(
        &mut self,
        lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>) {
        match self {
            NodeReader::Plain(reader) => reader.recv_or_idle(lease, patience).await,
            NodeReader::Tls(reader) => reader.recv_or_idle(lease, patience).await,
        }
    }

    async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        match self {
            NodeReader::Plain(reader) => reader.hung_up(within).await,
            NodeReader::Tls(reader) => reader.hung_up(within).await,
        }
    }
}

impl WriteIo for NodeWriter {
    async fn send(&mut self, chunk: Chunk, within: Duration) -> io::Result<()> {
        match self {
            NodeWriter::Plain(writer) => writer.send(chunk, within).await,
            NodeWriter::Tls(writer) => writer.send(chunk, within).await,
        }
    }

    async fn farewell(&mut self) -> io::Result<()> {
        match self {
            NodeWriter::Plain(writer) => writer.farewell().await,
            NodeWriter::Tls(writer) => writer.farewell().await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            NodeWriter::Plain(writer) => writer.shutdown().await,
            NodeWriter::Tls(writer) => writer.shutdown().await,
        }
    }

    fn abort(&mut self) {
        match self {
            NodeWriter::Plain(writer) => writer.abort(),
            NodeWriter::Tls(writer) => writer.abort(),
        }
    }
}

/// A connection that serves one request at a time.
pub(super) type Http1Connection = ClientConnection<NodeReader, NodeWriter>;

/// A way to send one request.
pub enum NodeStream {
    /// Over a connection that is this request's alone.
    Http1(Http1Connection),
    /// Beside others on one connection.
    Http2(ClientStream),
}

/// The request's half.
pub enum NodeSend {
    /// Of HTTP/1.1.
    Http1(Sender<NodeWriter>),
    /// Of HTTP/2.
    Http2(StreamSender),
}

/// The answer's half.
pub enum NodeReceive {
    /// Of HTTP/1.1.
    Http1(Receiver<NodeReader>),
    /// Of HTTP/2.
    Http2(StreamReceiver),
}

impl Upstream for NodeStream {
    type Send = NodeSend;
    type Receive = NodeReceive;

    async fn open(self, head: &RequestHead, end: bool) -> Result<(NodeSend, NodeReceive), Fault> {
        match self {
            NodeStream::Http1(connection) => {
                let (send, receive) = connection.open(head, end).await?;
                Ok((NodeSend::Http1(send), NodeReceive::Http1(receive)))
            }
            NodeStream::Http2(stream) => {
                let (send, receive) = stream.open(head, end).await?;
                Ok((NodeSend::Http2(send), NodeReceive::Http2(receive)))
            }
        }
    }

    fn rejoin(send: NodeSend, receive: NodeReceive) -> Option<NodeStream> {
        match (send, receive) {
            (NodeSend::Http1(send), NodeReceive::Http1(receive)) => {
                ClientConnection::rejoin(send, receive).map(NodeStream::Http1)
            }
            // A stream serves once; its connection never left the pool.
            _ => None,
        }
    }
}

impl Transmit for NodeSend {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        match self {
            NodeSend::Http1(send) => send.send(frame).await,
            NodeSend::Http2(send) => send.send(frame).await,
        }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        match self {
            NodeSend::Http1(send) => send.flush().await,
            NodeSend::Http2(send) => send.flush().await,
        }
    }

    fn reset(&mut self, fault: &Fault) {
        match self {
            NodeSend::Http1(send) => send.reset(fault),
            NodeSend::Http2(send) => send.reset(fault),
        }
    }
}

impl Receive for NodeReceive {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        match self {
            NodeReceive::Http1(receive) => receive.frame().await,
            NodeReceive::Http2(receive) => receive.frame().await,
        }
    }

    fn consumed(&mut self, bytes: usize) {
        match self {
            NodeReceive::Http1(receive) => receive.consumed(bytes),
            NodeReceive::Http2(receive) => receive.consumed(bytes),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            NodeReceive::Http1(receive) => receive.is_ready(),
            NodeReceive::Http2(receive) => receive.is_ready(),
        }
    }
}

impl Answer for NodeReceive {
    async fn head(&mut self) -> Result<ResponseHead, Fault> {
        match self {
            NodeReceive::Http1(receive) => receive.head().await,
            NodeReceive::Http2(receive) => receive.head().await,
        }
    }
}
