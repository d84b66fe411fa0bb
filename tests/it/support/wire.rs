//! Bytes on a connection: read up to a mark, read responses. Understands just enough HTTP/1.1 to
//! know where an answer ends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Anything bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, with what was read too far.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its fields in order, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// Its body, without chunk framing.
    pub(crate) body: Vec<u8>,
    /// Interim answers before it (100, 103).
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails the test when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> &str {
        self.get("location").unwrap_or_default()
    }
}

fn ended(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned())
}

impl Wire {
    /// Around a stream.
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), ahead: Vec::new() }
    }

    /// The stream and what was read too far.
    pub(crate) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.ahead)
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Says that nothing more is sent.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Some bytes; none when the other side has ended.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if !self.ahead.is_empty() {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let mut buffer = vec![0; 64 * 1024];
        let n = self.stream.read(&mut buffer).await?;
        buffer.truncate(n);
        Ok(buffer)
    }

    /// Bytes up to and with `mark`; an empty result when the other side ended before the first.
    pub(crate) async fn until(&mut self, mark: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            let from = read.len().saturating_sub(mark.len());
            let more = self.some().await?;
            if more.is_empty() {
                return if read.is_empty() { Ok(read) } else { Err(ended("in a line")) };
            }
            read.extend_from_slice(&more);
            if let Some(at) = read[from..].windows(mark.len()).position(|w| w == mark) {
                self.ahead = read.split_off(from + at + mark.len());
                return Ok(read);
            }
            if read.len() > limit {
                return Err(io::Error::other("too long"));
            }
        }
    }

    /// At most `most` bytes of a body.
    pub(crate) async fn up_to(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut read = self.some().await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if read.len() > most {
            self.ahead = read.split_off(most);
        }
        if read.is_empty() { Err(ended("in a body")) } else { Ok(read) }
    }

    /// Everything until the other side ends; an error on the way counts as an end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(more) = self.some().await {
            if more.is_empty() {
                break;
            }
            all.extend_from_slice(&more);
        }
        all
    }

    /// The head of the next final answer; interim ones are noted in it.
    pub(crate) async fn answer_head(&mut self) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = self.until(b"\r\n\r\n", 256 * 1024).await?;
            let mut answer = parse_head(&head)?;
            if answer.status >= 200 || answer.status == 101 {
                answer.interim = interim;
                return Ok(answer);
            }
            interim.push(answer.status);
        }
    }

    /// The next answer, to a request with `method`.
    pub(crate) async fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.answer_head().await?;
        let mut body = Body::of(&answer, method);
        while let Some(piece) = self.piece(&mut body).await? {
            answer.body.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    /// The next piece of a body; `None` after the last.
    pub(crate) async fn piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        match body {
            Body::Left(0) => Ok(None),
            Body::Left(n) => {
                let piece = self.up_to(*n).await?;
                *n -= piece.len() as u64;
                Ok(Some(piece))
            }
            Body::UntilClose => Ok(Some(self.some().await?).filter(|p| !p.is_empty())),
            Body::Chunk(0) => {
                let line = self.until(b"\r\n", 4096).await?;
                let digits = String::from_utf8_lossy(&line);
                let digits = digits.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
                if size == 0 {
                    while self.until(b"\r\n", 4096).await?.len() > 2 {}
                    *body = Body::Left(0);
                    return Ok(None);
                }
                *body = Body::Chunk(size);
                Ok(Some(Vec::new()))
            }
            Body::Chunk(n) => {
                let piece = self.up_to(*n).await?;
                *n -= piece.len() as u64;
                if *n == 0 {
                    self.until(b"\r\n", 2).await?;
                }
                Ok(Some(piece))
            }
        }
    }
}

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Body {
    /// So many bytes.
    Left(u64),
    /// So many bytes of a chunk; at zero a size line follows.
    Chunk(u64),
    /// All there is.
    UntilClose,
}

impl Body {
    /// The body that an answer's head announces.
    pub(crate) fn of(answer: &Answer, method: &str) -> Self {
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            Self::Left(0)
        } else if answer.get("transfer-encoding").is_some() {
            Self::Chunk(0)
        } else {
            let length = answer.get("content-length").and_then(|n| n.parse().ok());
            length.map_or(Self::UntilClose, Self::Left)
        }
    }
}

fn parse_head(head: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| ended(&format!("no status line in {first:?}")))?;
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    Ok(Answer { status, fields, ..Answer::default() })
}
