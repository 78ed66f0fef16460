//! Pascal VOC's annotations: an XML file for each picture.
//!
//! ```text
//! <annotation>
//!   <filename>000001.jpg</filename>
//!   <size><width>353</width><height>500</height></size>
//!   <object>
//!     <name>dog</name>
//!     <difficult>0</difficult>
//!     <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>
//!   </object>
//! </annotation>
//! ```
//!
//! VOC counts pixels from 1, and a box includes both of its edges, so that it covers `xmin - 1` to `xmax`
//! of a continuous axis. Many programs count from 0 instead. A dataset in which an `xmin` or `ymin` is 0
//! was made by one of them: its boxes cover `xmin` to `xmax`.
//!
//! Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section
//! 8.

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

use super::check::{Stated, StatedBox, StatedObject};
use super::fault::{LabelFault, LabelProblem};
use super::parsed::{Entry, Parsed, ParsedPart, Reading};
use super::parts::{ListedParts, part_of};
use crate::dataset::contents::Role;
use crate::dataset::tree::{FileId, FolderId};
use crate::error::Result;
use crate::label::ObjectKind;

/// The most nodes of one file.
const MOST_NODES: u32 = 1 << 20;

/// The files that may list the classes, in their order.
const CLASS_FILES: [&str; 3] = ["classes.txt", "labels.txt", "predefined_classes.txt"];

/// One file's contents, with the class as its name and the edges as they are written.
struct Annotation {
    size: Option<[usize; 2]>,
    objects: Vec<Object>,
}

struct Object {
    line: usize,
    class: String,
    edges: [f64; 4],
    kind: ObjectKind,
}

/// Reads the `.xml` files below a folder.
pub(super) fn read(reading: &mut Reading<'_>, folder: FolderId) -> Result<Parsed> {
    let tree = reading.tree;
    let files: Vec<FileId> = reading.files_with(folder, "xml");
    let listed = ListedParts::of_voc(reading, folder)?;
    let mut found: Vec<(FileId, FileId, Annotation)> = Vec::new();
    for file in files {
        let shown = tree.shown(file);
        let Some(text) = reading.text(file)? else {
            continue;
        };
        let Some(annotation) = parse(&text, &shown, &mut reading.faults) else {
            continue;
        };
        match reading.pictures.of_label(file) {
            Ok(picture) => found.push((file, picture, annotation)),
            Err(problem) => reading.fault(shown, problem),
        }
    }

    let objects = || {
        found
            .iter()
            .flat_map(|(_, _, annotation)| &annotation.objects)
    };
    let classes = match reading.class_list(folder, &CLASS_FILES)? {
        Some(classes) => classes,
        None => {
            let names: BTreeSet<&str> = objects().map(|object| &*object.class).collect();
            names.into_iter().map(str::to_owned).collect()
        }
    };
    let counts_from_0 = objects().any(|object| object.edges[0] == 0.0 || object.edges[1] == 0.0);
    let first = if counts_from_0 { 0.0 } else { 1.0 };

    let mut parts: Vec<ParsedPart> = Vec::new();
    for (file, picture, annotation) in found {
        let shown = tree.shown(file);
        let mut stated = Stated {
            file: shown,
            size: annotation.size,
            objects: Vec::new(),
        };
        for object in annotation.objects {
            let Some(class) = classes.iter().position(|class| *class == object.class) else {
                let problem = reading.unknown_class(&object.class, &classes);
                reading.fault_at(&stated.file, object.line, None, problem);
                continue;
            };
            let [x1, y1, x2, y2] = object.edges;
            stated.objects.push(StatedObject {
                line: object.line,
                name: None,
                class,
                place: StatedBox::Pixels([x1 - first, y1 - first, x2, y2]),
                kind: object.kind,
                area: None,
            });
        }
        let roles = match &listed {
            Some(listed) => listed.roles(tree, picture),
            None => vec![part_of(tree, picture)],
        };
        for role in roles {
            ParsedPart::with_role(&mut parts, role).entries.push(Entry {
                picture,
                stated: stated.clone(),
            });
        }
    }
    let mut notes = Vec::new();
    if counts_from_0 {
        let note = "boxes count pixels from 0, as an xmin or ymin of 0 shows";
        notes.push(note.to_owned());
    }
    parts.sort_by_key(|part: &ParsedPart| part.role != Role::All);
    Ok(Parsed {
        classes,
        parts,
        notes,
    })
}

/// Reads one file. What is wrong is added to `faults`; `None` if nothing can be used.
fn parse(text: &str, file: &str, faults: &mut Vec<LabelFault>) -> Option<Annotation> {
    let mut fault = |line: Option<usize>, problem| {
        faults.push(LabelFault {
            file: file.to_owned(),
            line,
            object: None,
            problem,
        });
    };
    let options = ParsingOptions {
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    let document = match Document::parse_with_options(text, options) {
        Ok(document) => document,
        Err(error) => {
            let line = error.pos().row as usize;
            let reason = files::show::one_line(&error.to_string());
            fault(Some(line), LabelProblem::Syntax { reason });
            return None;
        }
    };
    let line_of = |node: Node<'_, '_>| document.text_pos_at(node.range().start).row as usize;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let problem = LabelProblem::Field {
            field: "the first element".to_owned(),
            expected: "annotation".to_owned(),
            got: files::show::one_line(root.tag_name().name()),
        };
        fault(Some(line_of(root)), problem);
        return None;
    }

    let size = child(root, "size").and_then(|size| {
        let side = |name| number(size, name).ok().filter(|side| *side > 0.0);
        let (height, width) = (side("height")?, side("width")?);
        // A size of 0 x 0 means that the program did not know it.
        Some([height as usize, width as usize])
    });
    let mut objects = Vec::new();
    for node in root.children().filter(|node| node.has_tag_name("object")) {
        match object(node, line_of(node)) {
            Ok(object) => objects.push(object),
            Err((at, problem)) => fault(Some(line_of(at)), problem),
        }
    }
    Some(Annotation { size, objects })
}

type AtNode<'a, T> = std::result::Result<T, (Node<'a, 'a>, LabelProblem)>;

fn object<'a>(node: Node<'a, 'a>, line: usize) -> AtNode<'a, Object> {
    let name = child(node, "name").and_then(|name| name.text());
    let class = name.map(str::trim).filter(|name| !name.is_empty());
    let class = class.ok_or_else(|| (node, missing("name")))?;
    let bndbox = child(node, "bndbox").ok_or_else(|| (node, missing("bndbox")))?;
    let edge = |name| number(bndbox, name);
    let edges = [edge("xmin")?, edge("ymin")?, edge("xmax")?, edge("ymax")?];
    let is_difficult = child(node, "difficult").is_some() && number(node, "difficult")? != 0.0;
    Ok(Object {
        line,
        class: files::show::one_line(class),
        edges,
        kind: match is_difficult {
            true => ObjectKind::Difficult,
            false => ObjectKind::Plain,
        },
    })
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The number in a child of a node.
fn number<'a>(node: Node<'a, 'a>, name: &str) -> AtNode<'a, f64> {
    let child = child(node, name).ok_or_else(|| (node, missing(name)))?;
    let text = child.text().unwrap_or_default().trim();
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| {
        let problem = LabelProblem::Field {
            field: name.to_owned(),
            expected: "a number".to_owned(),
            got: format!("{:?}", files::show::shorten(text, 40)),
        };
        (child, problem)
    })
}

fn missing(field: &str) -> LabelProblem {
    LabelProblem::Missing {
        field: field.to_owned(),
    }
}
