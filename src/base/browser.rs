//! Names of browsers for people.

/// Describes a `User-Agent`, for example as `Firefox on Linux`. The result is made of fixed words
/// only, because a `User-Agent` may contain anything, even text that looks like a link.
pub fn in_words(user_agent: &str) -> String {
    let first = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = first(&[
        ("CellEngine Python", "CellEngine toolkit for Python"),
        ("CellEngine API Toolkit", "CellEngine toolkit for R"),
        ("httr/", "R"),
        ("python-requests/", "Python"),
        ("Wget/", "Wget"),
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_browsers_are_recognized() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(in_words(firefox), "Firefox on Linux");
        assert_eq!(in_words("curl/8.5"), "curl");
        let toolkit = "CellEngine Python API Toolkit/1.0.0 requests/2.34.2";
        assert_eq!(in_words(toolkit), "CellEngine toolkit for Python");
        let toolkit = "CellEngine API Toolkit/0.1.0 libcurl/7.88.1 r-curl/5.0.0 httr/1.4.5";
        assert_eq!(in_words(toolkit), "CellEngine toolkit for R");
        assert_eq!(in_words("libcurl/7.88.1 r-curl/5.0.0 httr/1.4.5"), "R");
        assert_eq!(in_words(""), "Unknown browser");
        assert_eq!(in_words("Confirm at https://evil.test/"), "Unknown browser");
    }
}
