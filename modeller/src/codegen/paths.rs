//! The paths of a model: what can be asked of each, what can be done to it, and where it can be wrong.

use std::collections::VecDeque;

use serde_json::Value;

use super::model::Printer;
use super::names::{quoted, templated};
use super::schema::{Kinds, Purpose, Root, bound, nullable, others, properties, required, says, union};

/// How many names a path has that a client knows.
const DEEPEST: usize = 4;
/// How many paths a model has that a client knows. What is behind them is known by their beginning.
const MOST: usize = 400;

/// A path into the documents of a model.
pub(super) struct Path<'a> {
    /// As a filter says it, with `${number}` and `${string}` in it where it stands for several.
    pub(super) text: String,
    /// The same as a JSON Pointer.
    pub(super) pointer: String,
    /// Whether it stands for several.
    pub(super) is_pattern: bool,
    pub(super) schema: &'a Value,
    pub(super) kinds: Kinds<'a>,
    /// Whether there is always a value in what it is a member of.
    pub(super) is_required: bool,
    /// Whether some document is without it.
    may_be_missing: bool,
    /// Whether it, or something around it, is never read.
    pub(super) is_private: bool,
    /// Whether it leads into the elements of a list without saying which, as only queries do.
    pub(super) is_through_list: bool,
    /// Whether it names a position of a list.
    pub(super) has_position: bool,
    /// Whether paths go on behind it that are not among the others.
    pub(super) is_cut: bool,
    depth: usize,
}

impl Path<'_> {
    /// As the key of a member.
    pub(super) fn key(&self) -> String {
        if self.is_pattern { format!("[path: {}]", self.literal()) } else { super::names::key(&self.text) }
    }

    /// As a type.
    pub(super) fn literal(&self) -> String {
        if self.is_pattern { format!("`{}`", self.text) } else { quoted(&self.text) }
    }
}

/// All paths of an object, those near its root first.
pub(super) fn paths<'a>(root: Root<'a>, schema: &'a Value) -> Vec<Path<'a>> {
    let mut all: Vec<Path<'a>> = Vec::new();
    let mut waiting: VecDeque<(Option<usize>, Path<'a>)> = VecDeque::new();
    for object in root.kinds(schema).objects {
        below(root, object, None, None, false, &mut waiting);
    }
    while let Some((parent, path)) = waiting.pop_front() {
        if all.len() >= MOST || path.depth > DEEPEST {
            if let Some(parent) = parent.and_then(|parent| all.get_mut(parent)) {
                parent.is_cut = true;
            }
            continue;
        }
        if all.iter().any(|known| known.text == path.text && known.pointer == path.pointer) {
            continue;
        }
        let at = all.len();
        for object in path.kinds.objects.clone() {
            below(root, object, Some(at), Some(&path), false, &mut waiting);
        }
        for list in path.kinds.lists.clone() {
            let tuple = list.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
            // Whatever stands where in a tuple, its elements are met by position.
            let items: Vec<&Value> = list.get("items").into_iter().chain(tuple).collect();
            let [item] = items.as_slice() else { continue };
            let kinds = root.kinds(item);
            for object in kinds.objects.clone() {
                below(root, object, Some(at), Some(&path), true, &mut waiting);
            }
            // Lists in lists are only met as a whole.
            if !path.has_position || kinds.lists.is_empty() {
                let element = Path {
                    text: format!("{}.${{number}}", path.template()),
                    pointer: format!("{}/${{number}}", path.pointer),
                    is_pattern: true,
                    schema: item,
                    kinds,
                    is_required: true,
                    has_position: true,
                    is_cut: false,
                    depth: path.depth + 1,
                    ..path.inherited()
                };
                waiting.push_back((Some(at), element));
            }
        }
        all.push(path);
    }
    all
}

impl<'a> Path<'a> {
    /// As a part of a template literal.
    fn template(&self) -> String {
        if self.is_pattern { self.text.clone() } else { templated(&self.text) }
    }

    fn inherited(&self) -> Self {
        Self {
            text: String::new(),
            pointer: String::new(),
            is_pattern: self.is_pattern,
            schema: self.schema,
            kinds: Kinds::default(),
            is_required: self.is_required,
            may_be_missing: self.may_be_missing,
            is_private: self.is_private,
            is_through_list: self.is_through_list,
            has_position: self.has_position,
            is_cut: false,
            depth: self.depth,
        }
    }
}

/// The members of an object that a path leads to.
fn below<'a>(
    root: Root<'a>,
    object: &'a serde_json::Map<String, Value>,
    at: Option<usize>,
    parent: Option<&Path<'a>>,
    through_list: bool,
    waiting: &mut VecDeque<(Option<usize>, Path<'a>)>,
) {
    let is_pattern = parent.is_some_and(|parent| parent.is_pattern);
    let depth = parent.map_or(1, |parent| parent.depth + 1);
    let is_private = parent.is_some_and(|parent| parent.is_private);
    let is_through_list = through_list || parent.is_some_and(|parent| parent.is_through_list);
    let has_position = parent.is_some_and(|parent| parent.has_position);
    // A place of a violation says which element it is about.
    let missing = parent.is_some_and(|parent| parent.may_be_missing || parent.kinds.null);
    let element = if through_list { "/${number}" } else { "" };
    let join = |name: &str, is_pattern: bool| match parent {
        None => name.to_owned(),
        Some(parent) if is_pattern => format!("{}.{name}", parent.template()),
        Some(parent) => format!("{}.{name}", parent.text),
    };
    let before = parent.map(|parent| parent.pointer.as_str()).unwrap_or_default();
    for (name, property) in properties(object) {
        // No path says a name that has a dot in it, or looks like an operator.
        if name.is_empty()
            || name.contains('.')
            || name.starts_with('$')
            || (parent.is_none() && (name == "_id" || name == "_rev"))
        {
            continue;
        }
        let shown = if is_pattern { templated(name) } else { name.clone() };
        let pointed = templated(&name.replace('~', "~0").replace('/', "~1"));
        let path = Path {
            text: join(&shown, is_pattern),
            pointer: format!("{before}{element}/{pointed}"),
            is_pattern,
            schema: property,
            kinds: root.kinds(property),
            is_required: required(object).any(|known| known == name),
            may_be_missing: missing
                || (property.get("default").is_none() && !required(object).any(|known| known == name)),
            is_private: is_private || says(property, "private"),
            is_through_list,
            has_position,
            is_cut: false,
            depth,
        };
        waiting.push_back((at, path));
    }
    if let Some(value) = others(object)
        && let Some(parent) = parent
    {
        let path = Path {
            text: format!("{}.${{string}}", parent.template()),
            pointer: format!("{before}{element}/${{string}}"),
            is_pattern: true,
            schema: value,
            // What is in it is met by the same names.
            kinds: Kinds { lists: Vec::new(), objects: Vec::new(), any: true, ..root.kinds(value) },
            is_required: false,
            may_be_missing: true,
            is_private,
            is_through_list,
            has_position,
            is_cut: false,
            depth,
        };
        waiting.push_back((at, path));
    }
}

impl<'a> Printer<'a> {
    /// What can be asked of a field.
    pub(super) fn operand(&mut self, root: Root<'a>, path: &Path<'a>) -> String {
        let mut value = self.type_of(root, path.schema, Purpose::Output);
        if path.kinds.any || value == "unknown" {
            return "Value | AnyTest".to_owned();
        }
        let kinds = path.kinds.clone();
        // What is missing is found by null.
        if path.may_be_missing {
            value = nullable(value);
        }
        if kinds.is_text() {
            return format!("{value} | TextTest<{value}>");
        }
        if kinds.is_number() {
            return format!("{value} | NumberTest<{value}>");
        }
        if !kinds.is_list() {
            return format!("{value} | PlainTest<{value}>");
        }
        let items: Vec<&'a Value> = kinds.lists.iter().filter_map(|list| list.get("items")).collect();
        let [item] = items.as_slice() else { return format!("{value} | PlainTest<{value}>") };
        let element = self.type_of(root, item, Purpose::Output);
        let of_element = root.kinds(item);
        let list = format!("readonly {}[]", bound(&element));
        let list = if value.ends_with("| null") { format!("{list} | null") } else { list };
        if of_element.is_text() {
            format!("{list} | {element} | TextListTest<{list}, {element}>")
        } else if of_element.is_number() {
            format!("{list} | {element} | NumberListTest<{list}, {element}>")
        } else {
            let test = self.element_test(root, item);
            format!("{list} | {element} | ListTest<{list}, {element}, {test}>")
        }
    }

    /// What can be asked of one element of a list.
    pub(super) fn element_test(&mut self, root: Root<'a>, item: &'a Value) -> String {
        let element = self.type_of(root, item, Purpose::Output);
        let kinds = root.kinds(item);
        if kinds.any || element == "unknown" {
            return "object".to_owned();
        }
        if kinds.is_text() {
            return format!("TextTest<{element}>");
        }
        if kinds.is_number() {
            return format!("NumberTest<{element}>");
        }
        match kinds.objects.as_slice() {
            [] => format!("PlainTest<{element}>"),
            _ => self.filter_of(root, item, &element),
        }
    }

    /// The filter of the objects of a schema, as an `$elemMatch` has it.
    fn filter_of(&mut self, root: Root<'a>, schema: &'a Value, element: &str) -> String {
        let place = (root.number, std::ptr::from_ref(root.resolved(schema)) as usize);
        if let Some(name) = self.filters.get(&place) {
            return name.clone();
        }
        let base =
            if super::names::is_identifier(element) { format!("{element}Filter") } else { "ElementFilter".to_owned() };
        let name = self.names.take(&base);
        self.filters.insert(place, name.clone());
        let paths = paths(root, schema);
        let body = self.filter_body(root, &paths, &name, false);
        self.declare(&name, "", &body);
        name
    }

    /// The body of a filter.
    pub(super) fn filter_body(&mut self, root: Root<'a>, paths: &[Path<'a>], name: &str, is_document: bool) -> String {
        let mut body = format!(" extends Joined<{name}> {{\n");
        if is_document {
            body.push_str(
                "  readonly _id?: string | TextTest<string>;\n  readonly _rev?: number | NumberTest<number>;\n",
            );
        }
        for path in paths.iter().filter(|path| !path.is_private) {
            let operand = self.operand(root, path);
            member(&mut body, path, &operand);
            if path.is_cut {
                body.push_str(&format!("  readonly [path: `{}.${{string}}`]: Value | AnyTest;\n", path.template()));
            }
        }
        body.push_str("}\n");
        body
    }
}

/// A member of an interface, which need not be there.
pub(super) fn member(body: &mut String, path: &Path<'_>, of: &str) {
    let mark = if path.is_pattern { "" } else { "?" };
    body.push_str(&format!("  readonly {}{mark}: {of};\n", path.key()));
}

/// The places where a value of this schema can be wrong.
pub(super) fn places<'a>(root: Root<'a>, schema: &'a Value, more: &[&str]) -> String {
    let mut all = vec!["\"\"".to_owned()];
    all.extend(more.iter().map(|place| quoted(place)));
    for path in paths(root, schema) {
        let place = |pointer: &str| match pointer.contains("${") || pointer.contains('\\') || pointer.contains('`') {
            true => format!("`{pointer}`"),
            false => quoted(pointer),
        };
        all.push(place(&path.pointer));
        if path.is_cut || path.kinds.any {
            all.push(place(&format!("{}/${{string}}", path.pointer)));
        }
    }
    for list in root.kinds(schema).lists {
        let _ = list;
        all.push("`/${string}`".to_owned());
    }
    if root.kinds(schema).objects.iter().any(|object| others(object).is_some()) || root.kinds(schema).any {
        all.push("`/${string}`".to_owned());
    }
    union(all)
}
