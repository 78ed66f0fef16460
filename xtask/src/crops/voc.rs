//! The boxes of an annotation file of Pascal VOC.

/// A box and its class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) class: String,
    /// Left, top, right and bottom, in pixels.
    pub(super) edges: [f64; 4],
}

/// Reads all boxes, in the order of the file. Of the XML, only the elements that hold them are looked
/// at: annotations contain neither attributes nor nested objects.
pub(super) fn objects(xml: &str) -> Result<Vec<Object>, String> {
    let mut objects = Vec::new();
    let mut rest = xml;
    while let Some((_, from)) = rest.split_once("<object>") {
        let number = objects.len();
        let Some((object, after)) = from.split_once("</object>") else {
            return Err(format!("object {number} has no </object>"));
        };
        rest = after;
        let element = |name: &str| {
            element(object, name).ok_or_else(|| format!("object {number} has no <{name}>"))
        };
        let class = element("name")?;
        if !is_folder_name(class) {
            return Err(format!(
                "object {number}: the class {class:?} cannot be the name of a folder"
            ));
        }
        let mut edges = [0.0; 4];
        for (edge, name) in edges.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
            let text = element(name)?;
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            *edge = value.ok_or_else(|| {
                format!("object {number}: <{name}> is {text:?}, expected a number")
            })?;
        }
        objects.push(Object {
            class: class.to_owned(),
            edges,
        });
    }
    Ok(objects)
}

/// The text of the first element with this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, from) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = from.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// Whether a class can be a folder on every system.
fn is_folder_name(class: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    !class.is_empty() && class.len() <= 100 && class.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_read_in_their_order() {
        let xml = "<annotation><filename>a.jpg</filename><object>\n  <name> red cell </name><pose>x</pose>\
                   <bndbox><xmin>1</xmin>\n<ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>\
                   <object><name>w</name><bndbox><ymin>0</ymin><xmin>-3</xmin><ymax>4</ymax>\
                   <xmax>5</xmax></bndbox></object></annotation>";
        let object = |class: &str, edges| Object {
            class: class.to_owned(),
            edges,
        };
        assert_eq!(
            objects(xml).unwrap(),
            [
                object("red cell", [1.0, 2.5, 30.0, 40.0]),
                object("w", [-3.0, 0.0, 5.0, 4.0])
            ]
        );
        assert_eq!(objects("").unwrap(), []);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let with_box = |edge: &str| {
            format!(
                "<object><name>a</name><xmin>{edge}</xmin><ymin>1</ymin><xmax>2</xmax></object>"
            )
        };
        for (xml, expected) in [
            (
                "<object><name>a</name>".to_owned(),
                "object 0 has no </object>",
            ),
            (with_box("1"), "object 0 has no <ymax>"),
            (with_box("one"), "object 0: <xmin> is \"one\""),
            (with_box("inf"), "object 0: <xmin> is \"inf\""),
            (
                "<object><name>a/b</name></object>".to_owned(),
                "the class \"a/b\"",
            ),
            (
                "<object><name>..</name></object>".to_owned(),
                "the class \"..\"",
            ),
        ] {
            let error = objects(&xml).unwrap_err();
            assert!(error.contains(expected), "{xml}: {error}");
        }
    }
}
