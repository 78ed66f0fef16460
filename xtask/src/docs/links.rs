//! Dead links in the generated pages, and text that should have become links.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use crate::Result;

/// All dead links of the pages in these folders of the documentation, one line each, and the names of
/// the libraries' items that are left in brackets where there should be a link.
///
/// # Errors
///
/// A page or a folder cannot be read.
pub(super) fn check(root: &Path, folders: &[&str], libraries: &[&str]) -> Result<Vec<String>> {
    let mut pages = vec![root.join("index.html")];
    for folder in folders {
        collect(&root.join(folder), &mut pages)?;
    }
    pages.sort();
    let is_of_a_library = |page: &&PathBuf| {
        let mut folders = libraries.iter().map(|name| root.join(name));
        folders.any(|folder| page.starts_with(folder))
    };
    let items = pages.iter().filter(is_of_a_library);
    let items: HashSet<&str> = items.filter_map(|page| item(page)).collect();
    let mut site = Site::default();
    let mut problems = Vec::new();
    for page in &pages {
        let shown = page.strip_prefix(root).unwrap_or(page).display();
        let text = without_scripts(&std::fs::read_to_string(page)?);
        // The rest is other crates' text, which links to their own pages.
        let own = text.split("id=\"blanket-implementations\"").next();
        let links: HashSet<&str> = attributes(own.unwrap_or_default())
            .filter(|(name, _)| ["href", "src"].contains(name))
            .map(|(_, value)| value)
            .collect();
        let mut dead: Vec<&str> = links
            .into_iter()
            .filter(|link| !site.has(page, link))
            .collect();
        dead.sort_unstable();
        problems.extend(dead.iter().map(|link| format!("{shown}: dead link {link}")));
        // Traits of other crates bring their documentation along, with links to items without a
        // page here.
        let ours = unresolved(&text).filter(|name| items.contains(last_part(name)));
        problems.extend(ours.map(|name| format!("{shown}: [{name}] did not become a link")));
    }
    Ok(problems)
}

/// The HTML files in a folder and its subfolders.
fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "html") {
            pages.push(path);
        }
    }
    Ok(())
}

/// The item that a page is about: `Session` of `struct.Session.html`.
fn item(page: &Path) -> Option<&str> {
    let (_, name) = page.file_stem()?.to_str()?.split_once('.')?;
    Some(name)
}

fn last_part(name: &str) -> &str {
    let path = name.trim_end_matches(['(', ')', '!']);
    path.rsplit("::").next().unwrap_or(path)
}

/// What has been read from the pages that links point to.
#[derive(Default)]
struct Site {
    ids: HashMap<PathBuf, Option<HashSet<String>>>,
}

impl Site {
    /// Whether the target of a link exists. Links to other servers are not followed.
    fn has(&mut self, page: &Path, link: &str) -> bool {
        let link = unescaped(link);
        let is_elsewhere = link
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|start| start.contains(':'));
        if is_elsewhere || link.starts_with("//") {
            return true;
        }
        let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
        let path = decoded(path.split('?').next().unwrap_or_default());
        let target = match path.as_str() {
            "" => page.to_owned(),
            path => normal(&page.with_file_name("").join(path)),
        };
        let target = if target.is_dir() {
            target.join("index.html")
        } else {
            target
        };
        // Lines of a source, such as #12-30, are made by its page's script.
        let is_source = path.contains("src/") && fragment.starts_with(|c: char| c.is_ascii_digit());
        if fragment.is_empty() || is_source {
            return target.is_file();
        }
        let ids = self.ids.entry(target).or_insert_with_key(|target| {
            let mut text = std::fs::read_to_string(target).ok()?;
            // An item's path within the crate may be another than the one that users write.
            if let Some(other) = redirection(&text) {
                let other = normal(&target.with_file_name("").join(other));
                text = std::fs::read_to_string(other).ok()?;
            }
            let ids = attributes(&text).filter(|(name, _)| *name == "id");
            Some(ids.map(|(_, id)| unescaped(id)).collect())
        });
        ids.as_ref()
            .is_some_and(|ids| ids.contains(fragment) || ids.contains(&decoded(fragment)))
    }
}

/// The page that another one redirects to.
fn redirection(html: &str) -> Option<&str> {
    attributes(html)
        .filter(|(name, _)| *name == "content")
        .find_map(|(_, value)| value.strip_prefix("0;URL="))
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The names and values of the attributes of all tags.
fn attributes(html: &str) -> impl Iterator<Item = (&str, &str)> {
    tags(html).flat_map(|tag| {
        // name="value" name="value": the parts between quotes are names and values in turn.
        let mut parts = tag.split('"');
        std::iter::from_fn(move || {
            let name = parts.next()?.trim_end_matches('=');
            let value = parts.next()?;
            Some((name.rsplit(char::is_whitespace).next()?, value))
        })
    })
}

/// The page without the contents of its scripts, which may contain tags.
fn without_scripts(html: &str) -> String {
    let mut parts = html.split("<script");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        let (_, behind) = rest.split_once("</script>").unwrap_or_default();
        for piece in ["<script", tag, ">", behind] {
            text.push_str(piece);
        }
    }
    text
}

/// The contents of the tags. In text, `<` is escaped.
fn tags(html: &str) -> impl Iterator<Item = &str> {
    html.split('<').skip(1).map(|rest| {
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// The names of links to items that were not resolved: they are left in brackets, as written.
fn unresolved(html: &str) -> impl Iterator<Item = &str> {
    html.split("[<code>").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once("</code>]")?;
        let is_path = |c: char| c.is_alphanumeric() || "_:()!".contains(c);
        (name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_path))
            .then_some(name)
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
}

/// The text with percent-encoding such as `%2F` decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|code| u8::from_str_radix(code, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of two pages, `a/index.html` and `b/index.html`, beside a trait and a function.
    fn problems(a: &str, b: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "").unwrap();
        for (name, text) in [("a", a), ("b", b)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("index.html"), text).unwrap();
        }
        for item in ["trait.TrainBackend.html", "fn.b.html"] {
            std::fs::write(folder.path().join("b").join(item), "").unwrap();
        }
        check(folder.path(), &["a", "b"], &["b"]).unwrap()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let a = "<a href=\"../b/index.html\">b</a><a class=\"x\" href=\"../b/index.html#here\">\
                 <a href=\"https://a.example/x\"><a href=\"../b/\"><a href=\"#mine\">\
                 <p id=\"mine\" title=\"a > b\"><a href=\"?search=x\">\
                 <a href=\"../b/index.html#impl-From%3CX%3E-for-Y\">";
        let b = "<h2 id=\"here\"><h3 id=\"impl-From%3CX%3E-for-Y\">";
        assert_eq!(problems(a, b), Vec::<String>::new());
    }

    #[test]
    fn dead_files_and_fragments_are_found() {
        let a = "<a href=\"../c/index.html\"><a href=\"../b/index.html#gone\"><a href=\"#gone\">\
                 <script src=\"x.js\">";
        assert_eq!(
            problems(a, "<a href=\"../a/index.html\">"),
            [
                "a/index.html: dead link #gone",
                "a/index.html: dead link ../b/index.html#gone",
                "a/index.html: dead link ../c/index.html",
                "a/index.html: dead link x.js",
            ]
        );
    }

    #[test]
    fn texts_are_no_links_and_links_no_texts() {
        let a = "<script src=\"../a/index.html\">x = `<a href=\"${f}\">`</script>\
                 <p>write href=\"gone\" or [x], [<code>n, c</code>], [<code>0</code>]; clap has [<code>Arg</code>]</p>\
                 <p>see [<code>TrainBackend</code>] and [<code>a::b()</code>]</p>";

        assert_eq!(
            problems(a, ""),
            [
                "a/index.html: [TrainBackend] did not become a link",
                "a/index.html: [a::b()] did not become a link",
            ]
        );
    }

    #[test]
    fn a_redirection_is_followed() {
        let a = "<a href=\"../b/index.html#here\"><a href=\"../b/index.html#gone\">";
        let b = "<meta http-equiv=\"refresh\" content=\"0;URL=../c.html\">";
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("index.html", ""),
            ("a/index.html", a),
            ("b/index.html", b),
            ("c.html", "<p id=\"here\">"),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(
            check(folder.path(), &["a"], &[]).unwrap(),
            ["a/index.html: dead link ../b/index.html#gone"]
        );
    }

    #[test]
    fn lines_of_a_source_are_not_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("index.html", "");
        write("src/a/lib.rs.html", "");
        write(
            "a/index.html",
            "<a href=\"../src/a/lib.rs.html#3-7\"><a href=\"../src/a/x.rs.html#3\">",
        );
        assert_eq!(
            check(folder.path(), &["a"], &[]).unwrap(),
            ["a/index.html: dead link ../src/a/x.rs.html#3"]
        );
    }
}
