//! An HTTP/1.1 request parser without any tolerance: what two parsers could read in two ways is a
//! violation. It judges what the gateway sends to an app.

/// The head of a request, well-formed in every respect.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Its method.
    pub(crate) method: String,
    /// Its target, byte for byte (as Latin-1 text).
    pub(crate) target: String,
    /// Its fields in order, names as they were written.
    pub(crate) fields: Vec<(String, String)>,
    /// How its body ends.
    pub(crate) framing: Framing,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes; zero when nothing was said.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

impl Head {
    /// The values of a field, whatever the case of its name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        self.fields.iter().filter(|(n, _)| same(n)).map(|(_, v)| v.as_str()).collect()
    }

    /// The first value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The last segment of the path: what the recording app goes by.
    pub(crate) fn last_segment(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    /// A number from the query.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let (_, query) = self.target.split_once('?')?;
        let pair = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='))?;
        pair.parse().ok()
    }
}

fn is_token(text: &str) -> bool {
    let symbol = |c: char| "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || symbol(c))
}

/// Parses a head, from the first byte up to and with the empty line.
pub(crate) fn head(bytes: &[u8]) -> Result<Head, String> {
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    let text = text.strip_suffix("\r\n\r\n").ok_or("no empty line at the end")?;
    let mut lines = text.split("\r\n");
    let request_line = lines.next().unwrap_or_default();
    let words: Vec<&str> = request_line.split(' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err(format!("request line {request_line:?}"));
    };
    let target_ok = target.starts_with('/') && target.chars().all(|c| c.is_ascii_graphic());
    if !is_token(method) || !target_ok || *version != "HTTP/1.1" {
        return Err(format!("request line {request_line:?}"));
    }
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let mut head = Head {
        method: (*method).to_owned(),
        target: (*target).to_owned(),
        fields,
        framing: Framing::Length(0),
    };
    if head.all("host").len() != 1 {
        return Err(format!("{} Host fields", head.all("host").len()));
    }
    head.framing = framing(&head)?;
    Ok(head)
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("field {line:?}"))?;
    let value_ok = value.chars().all(|c| c == '\t' || (c >= ' ' && c != '\u{7f}'));
    if is_token(name) && value_ok {
        Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
    } else {
        Err(format!("field {line:?}"))
    }
}

fn framing(head: &Head) -> Result<Framing, String> {
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::Length(0)),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([length], []) => match length.parse::<u64>() {
            Ok(n) if n.to_string() == *length => Ok(Framing::Length(n)),
            Ok(_) | Err(_) => Err(format!("Content-Length {length:?}")),
        },
        _ => Err(format!("Content-Length {lengths:?} with Transfer-Encoding {codings:?}")),
    }
}

/// Parses a chunk's size line without its CR LF: hexadecimal digits and nothing else.
pub(crate) fn chunk_size(line: &[u8]) -> Result<u64, String> {
    std::str::from_utf8(line)
        .ok()
        .filter(|t| (1..=16).contains(&t.len()) && t.chars().all(|c| c.is_ascii_hexdigit()))
        .and_then(|t| u64::from_str_radix(t, 16).ok())
        .ok_or_else(|| format!("chunk size {:?}", String::from_utf8_lossy(line)))
}

#[test]
fn an_ambiguous_request_is_a_violation() {
    let ok = "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(head(ok.as_bytes()).unwrap().framing, Framing::Length(3));
    for bad in [
        "POST a HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 03\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
    ] {
        assert!(head(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(chunk_size(b"1f").is_ok() && chunk_size(b"3;a").is_err() && chunk_size(b"").is_err());
}
