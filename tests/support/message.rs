//! Reading HTTP/1.1 messages off a stream, strictly: what is odd fails the test.

use std::io::{self, Read};

/// The first line and the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub first_line: String,
    /// In order, with the case that they came in.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field that may be there once.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands there {} times: {self:?}", all.len());
        all.first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// A part of the first line.
    pub fn word(&self, index: usize) -> &str {
        self.first_line.split(' ').nth(index).unwrap_or("")
    }

    /// Method of a request.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// Target of a request.
    pub fn target(&self) -> &str {
        self.word(1)
    }
}

/// How a body was framed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    Close,
}

/// A body that came whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    pub framing: Framing,
    pub bytes: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Sizes of chunks.
    pub chunks: Vec<usize>,
}

/// A final answer, with the interim ones before it.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub body: Body,
    pub interim: Vec<(u16, Head)>,
}

impl Response {
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.bytes).into_owned()
    }

    /// Whether it announces the end of its connection.
    pub fn closes(&self) -> bool {
        self.head.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn ended(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("ended {what}"))
}

/// A stream with what was read of it too early.
#[derive(Debug)]
pub struct Reader<S> {
    pub stream: S,
    pub buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Reader<S> {
        Reader { stream, buffer: Vec::new() }
    }

    /// Reads more; 0 at the end.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            if self.fill()? == 0 {
                return Err(ended(&format!("after {} of {n} bytes", self.buffer.len())));
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// A line without its CRLF.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let text = line
                    .strip_suffix(b"\r\n")
                    .ok_or_else(|| invalid(format!("line without CR: {}", line.escape_ascii())))?;
                return String::from_utf8(text.to_vec()).map_err(|_| invalid("not UTF-8"));
            }
            if self.fill()? == 0 {
                return Err(ended("within a line"));
            }
        }
    }

    /// A head; `None` where the stream ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.buffer.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        let first_line = self.line()?;
        let fields = self.fields()?;
        Ok(Some(Head { first_line, fields }))
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| invalid(format!("field {line:?}")))?;
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// How the body behind a head is framed; `None` where two fields disagree.
    pub fn framing(head: &Head) -> io::Result<Option<Framing>> {
        match (&head.all("transfer-encoding")[..], &head.all("content-length")[..]) {
            ([], []) => Ok(None),
            (["chunked"], []) => Ok(Some(Framing::Chunked)),
            ([], [length]) => {
                length.parse().map(|n| Some(Framing::Length(n))).map_err(|_| invalid(*length))
            }
            other => Err(invalid(format!("framing {other:?}"))),
        }
    }

    pub fn body(&mut self, framing: Framing) -> io::Result<Body> {
        let mut body = Body { framing, ..Body::default() };
        match framing {
            Framing::None => {}
            Framing::Length(n) => body.bytes = self.take(n as usize)?,
            Framing::Close => {
                while self.fill()? > 0 {}
                body.bytes = std::mem::take(&mut self.buffer);
            }
            Framing::Chunked => loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16)
                    .map_err(|_| invalid(format!("chunk size {line:?}")))?;
                if size == 0 {
                    body.trailers = self.fields()?;
                    break;
                }
                body.chunks.push(size);
                body.bytes.extend(self.take(size)?);
                if !self.line()?.is_empty() {
                    return Err(invalid("chunk without CRLF behind it"));
                }
            },
        }
        Ok(body)
    }

    /// A final response; `None` where the stream ended before one began.
    pub fn response(&mut self, to_head: bool) -> io::Result<Option<Response>> {
        let mut response = Response::default();
        loop {
            let Some(head) = self.head()? else {
                return match response.interim.is_empty() {
                    true => Ok(None),
                    false => Err(ended("behind an interim answer")),
                };
            };
            if !head.first_line.starts_with("HTTP/1.1 ") {
                return Err(invalid(format!("status line {:?}", head.first_line)));
            }
            let status = head.word(1).parse().map_err(|_| invalid("status"))?;
            if (100..200).contains(&status) && status != 101 {
                response.interim.push((status, head));
                continue;
            }
            let framing = match status {
                _ if to_head => Framing::None,
                101 | 204 | 304 => Framing::None,
                _ => Self::framing(&head)?.unwrap_or(Framing::Close),
            };
            (response.status, response.head) = (status, head);
            response.body = self.body(framing)?;
            return Ok(Some(response));
        }
    }
}
