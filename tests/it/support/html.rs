//! Just enough reading of our own pages: hidden fields, codes, text.

/// The value of an input called `name`.
pub(crate) fn field(page: &str, name: &str) -> Option<String> {
    let mark = format!("name=\"{name}\"");
    let at = page.find(&mark)?;
    let start = page[..at].rfind('<')?;
    let end = at + page[at..].find('>')?;
    let tag = &page[start..end];
    let value = tag.split_once(" value=\"")?.1;
    Some(unescape(value.split('"').next().unwrap_or_default()))
}

/// The text of the element with this id, without tags and white space.
pub(crate) fn by_id(page: &str, id: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("id=\"{id}\""))?;
    let (_, rest) = rest.split_once('>')?;
    let inner = rest.split("</").next()?;
    Some(inner.chars().filter(|c| !c.is_whitespace()).collect())
}

/// The page without its challenge for a key: every page has one of its own.
pub(crate) fn without_challenge(page: &str) -> String {
    let Some((before, rest)) = page.split_once("\"challenge\":\"") else { return page.to_owned() };
    let (_, after) = rest.split_once('"').unwrap_or_default();
    format!("{before}{after}")
}

/// The recovery codes: every `<li><code>`.
pub(crate) fn recovery_codes(page: &str) -> Vec<String> {
    let code = |rest: &str| rest.split("</code>").next().unwrap_or_default().trim().to_owned();
    page.split("<li><code>").skip(1).map(code).collect()
}

/// Text with the entities our templates write put back.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, after_entity)) = after.split_once(';') else {
            out.push('&');
            rest = after;
            continue;
        };
        if let Some(c) = entity_char(entity) {
            out.push(c);
            rest = after_entity;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn entity_char(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        numeric => {
            let digits = numeric.strip_prefix('#')?;
            let number = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(number)
        }
    }
}

#[test]
fn fields_codes_and_entities_are_read() {
    let page = r#"<form><input type="hidden" name="csrf" value="a&#38;b&amp;&lt;"></form>
        <code id="totp-secret">ABCD EFGH</code><ol><li><code>X-1</code></li><li><code>X-2</code>"#;
    assert_eq!(field(page, "csrf").as_deref(), Some("a&b&<"));
    assert_eq!(field(page, "return_to"), None);
    assert_eq!(by_id(page, "totp-secret").as_deref(), Some("ABCDEFGH"));
    assert_eq!(recovery_codes(page), ["X-1", "X-2"]);
}
