//! What is printed of each model: its types, and how it is reached.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::{self, Names, key, pascal, quoted};
use super::paths::{self, Path};
use super::schema::{Purpose, Root, doc, indented};
use crate::wire::metadata::{Metadata, ModelMetadata, OperationMetadata};

/// The members that a model has by itself: an operation that is called so is called by its id.
const OF_A_MODEL: &[&str] = &[
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "then",
    "get",
    "list",
    "count",
    "insert",
    "insertMany",
    "update",
    "updateMany",
    "replace",
    "delete",
    "deleteMany",
    "trash",
    "call",
    "upload",
    "stream",
    "subscribe",
    "live",
    "isError",
];
/// The same of a room, for events.
const OF_A_ROOM: &[&str] = &[
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "then",
    "ready",
    "on",
    "onEnd",
    "unsubscribe",
    "dispatch",
    "close",
    "shared",
    "isClosed",
    "socket",
    "stops",
    "begun",
    "iterate",
];
/// The same of the client, for models.
const OF_THE_CLIENT: &[&str] = &[
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "then",
    "model",
    "tokens",
    "online",
    "setToken",
    "beginSession",
    "signOut",
    "close",
];

/// A client, while it is printed.
pub(super) struct Printer<'a> {
    pub(super) names: Names,
    /// Types that have a name, by root, place and purpose.
    pub(super) made: BTreeMap<(usize, usize, Purpose), String>,
    /// Filters of elements, by root and place.
    pub(super) filters: BTreeMap<(usize, usize), String>,
    roots: usize,
    out: String,
    marker: std::marker::PhantomData<&'a Value>,
}

/// What the types of a model are called.
struct Types {
    document: String,
    insert: String,
    patch: String,
    update: String,
    filter: String,
    path: String,
    problem: String,
    written: String,
}

/// An operation, as it is called.
struct Called<'a> {
    operation: &'a OperationMetadata,
    args: Option<String>,
    args_optional: bool,
    output: String,
    places: String,
}

impl<'a> Printer<'a> {
    pub(super) fn print(metadata: &'a Metadata, runtime: &str) -> String {
        let mut printer = Self {
            names: Names::beside(runtime),
            made: BTreeMap::new(),
            filters: BTreeMap::new(),
            roots: 0,
            out: String::new(),
            marker: std::marker::PhantomData,
        };
        for name in ["Client", "Models"] {
            printer.names.take(name);
        }
        // Before all others, so that documents are called as they are called at the server.
        let documents: Vec<Option<(Root<'a>, String)>> =
            metadata.models.iter().map(|model| printer.document(model)).collect();
        let interfaces: BTreeMap<&str, String> = metadata
            .models
            .iter()
            .map(|model| (model.id.as_str(), printer.names.take(&format!("{}Model", pascal(&model.id)))))
            .collect();
        for (model, document) in metadata.models.iter().zip(&documents) {
            printer.out.push_str(&format!("// ---- {} ", model.id));
            printer.out.push_str(&"-".repeat(120_usize.saturating_sub(model.id.len())));
            printer.out.push_str("\n\n");
            printer.model(model, document.as_ref(), &interfaces);
        }
        let mut file = head(metadata);
        file.push_str(&client(metadata, &interfaces));
        file.push_str(&descriptions(metadata));
        file.push_str(&printer.out);
        file.push_str(runtime);
        file
    }

    pub(super) fn root(&mut self, schema: &'a Value, is_answer: bool) -> Root<'a> {
        self.roots += 1;
        Root { number: self.roots, schema, is_answer }
    }

    pub(super) fn declare(&mut self, name: &str, comment: &str, body: &str) {
        self.names.set(name, body.to_owned());
        let word = if body.starts_with(" = ") { "type" } else { "interface" };
        self.out.push_str(&format!("{comment}export {word} {name}{body}\n"));
    }

    /// The type of the documents of a model.
    fn document(&mut self, model: &'a ModelMetadata) -> Option<(Root<'a>, String)> {
        let schema = model.schema.as_ref()?;
        let root = self.root(schema, false);
        let title = schema.get("title").and_then(Value::as_str);
        let title = title
            .filter(|title| names::is_identifier(title) && title.starts_with(|first: char| first.is_ascii_uppercase()));
        let name = self.names.take(&title.map_or_else(|| pascal(&model.id), str::to_owned));
        let mut comment = self.comment(root, schema);
        if comment.is_empty() {
            comment = doc(&[format!("A document of `{}`.", model.id)]);
        }
        let object = root.kinds(schema).objects.first().copied();
        // An object that is put together from others is a type of its own, with what every document has.
        let is_plain = ["$ref", "anyOf", "oneOf", "allOf"].iter().all(|word| schema.get(word).is_none());
        let body = match object.filter(|_| is_plain) {
            Some(object) => self.interface(root, object, Purpose::Output, true, &[]),
            None => {
                let value = self.type_of(root, schema, Purpose::Output);
                format!(" = Key & {};\n", super::schema::bound(&value))
            }
        };
        self.declare(&name, &comment, &body);
        Some((root, name))
    }

    /// All of a model.
    fn model(
        &mut self,
        model: &'a ModelMetadata,
        document: Option<&(Root<'a>, String)>,
        interfaces: &BTreeMap<&str, String>,
    ) {
        let types = document.map(|(root, name)| self.types(model, *root, name));
        let called = |printer: &mut Self, operations: &'a [OperationMetadata]| -> Vec<Called<'a>> {
            operations.iter().map(|operation| printer.called(model, operation)).collect()
        };
        let methods = called(self, &model.operations);
        let events = called(self, &model.events);
        let uploads = called(self, &model.uploads);
        let streams = called(self, &model.streams);
        let room = (!events.is_empty()).then(|| self.room(model, document, &events));

        let may = |right: &str| model.rights.as_ref().is_none_or(|rights| rights.iter().any(|known| known == right));
        let mut parts: Vec<String> = Vec::new();
        if let Some(types) = &types {
            let Types { document, insert, patch, update, filter, path, written, .. } = types;
            if may("read") {
                parts.push(format!("Reads<{document}, {filter}, {path}>"));
            }
            if may("insert") {
                parts.push(format!("Inserts<{insert}, {written}>"));
            }
            if may("update") {
                let whole = if model.client_ids { format!("Omit<{insert}, \"_id\">") } else { insert.clone() };
                parts.push(format!("Updates<{patch}, {update}, {whole}, {filter}, {written}>"));
            }
            if may("delete") {
                parts.push(format!("Deletes<{filter}, {written}>"));
            }
        }
        let mut body = String::new();
        if !parts.is_empty() {
            body.push_str(&format!(" extends {}", parts.join(", ")));
        }
        body.push_str(" {\n");
        if let (Some(types), true) = (&types, model.trash) {
            let Types { document, filter, written, .. } = types;
            body.push_str(&format!("  readonly trash: Trash<{document}, {filter}, {written}>;\n"));
        }
        for called in &methods {
            let parameters = called.parameters("args", "WriteOptions");
            method(&mut body, called, OF_A_MODEL, &parameters, "call");
        }
        for called in &uploads {
            let parameters = format!("file: Bytes, {}", called.parameters("args", "UploadOptions"));
            method(&mut body, called, OF_A_MODEL, &parameters, "upload");
        }
        for called in &streams {
            let parameters =
                format!("data: Bytes | AsyncIterable<Uint8Array>, {}", called.parameters("args", "RequestOptions"));
            method(&mut body, called, OF_A_MODEL, &parameters, "stream");
        }
        if let Some(room) = &room {
            let filter = types.as_ref().map_or("object", |types| &types.filter);
            body.push_str(&format!("  subscribe<Payload = unknown>(filter: {filter}): {room}<Payload>;\n"));
        }
        if let Some(types) = &types {
            body.push_str(&format!("  isError(error: unknown): error is ModellerError & {};\n", types.problem));
        } else {
            body.push_str("  isError(error: unknown): error is ModellerError & Problem;\n");
        }
        for called in methods.iter().chain(&events).chain(&uploads).chain(&streams) {
            let of = quoted(&called.operation.id);
            body.push_str(&format!(
                "  isError(error: unknown, of: {of}): error is ModellerError & Problem<{}>;\n",
                called.places
            ));
        }
        for extension in &model.extensions {
            let child = interfaces.get(format!("{}.{extension}", model.id).as_str());
            let is_free = !OF_A_MODEL.contains(&extension.as_str()) && !is_operation(model, extension);
            if let Some(child) = child.filter(|_| is_free) {
                body.push_str(&format!("  readonly {}: {child};\n", key(extension)));
            }
        }
        body.push_str("}\n");
        let comment = doc(&[format!("The model `{}`.", model.id)]);
        if let Some(interface) = interfaces.get(model.id.as_str()) {
            self.declare(interface, &comment, &body);
        }
    }

    /// The types of the documents of a model, and of what is done with them.
    fn types(&mut self, model: &'a ModelMetadata, root: Root<'a>, document: &str) -> Types {
        let schema = root.schema;
        let object = root.kinds(schema).objects.first().copied();
        let take = |printer: &mut Self, what: &str| printer.names.take(&format!("{document}{what}"));
        let types = Types {
            document: document.to_owned(),
            insert: take(self, "Insert"),
            patch: take(self, "Patch"),
            update: take(self, "Update"),
            filter: take(self, "Filter"),
            path: take(self, "Path"),
            problem: take(self, "Problem"),
            // Who may not read what he wrote is told where it is, and no more.
            written: if model.rights.is_some() { format!("{document} | Key") } else { document.to_owned() },
        };
        let id: &[String] = if model.client_ids { &["readonly _id?: string".to_owned()] } else { &[] };
        let is_plain = ["$ref", "anyOf", "oneOf", "allOf"].iter().all(|word| schema.get(word).is_none());
        for (name, purpose, what) in [
            (&types.insert, Purpose::Input, "What is inserted, or replaces"),
            (&types.patch, Purpose::Patch, "What changes of"),
        ] {
            let more = if purpose == Purpose::Input { id } else { &[] };
            let body = match object.filter(|_| is_plain) {
                Some(object) => {
                    let body = self.interface(root, object, purpose, false, more);
                    if purpose == Purpose::Patch { format!(" extends NoOperators{body}") } else { body }
                }
                None if purpose == Purpose::Patch => {
                    " = NoOperators & { readonly [name: string]: unknown };\n".to_owned()
                }
                None => {
                    let value = self.type_of(root, schema, purpose);
                    let id = if model.client_ids { "{ readonly _id?: string } & " } else { "" };
                    format!(" = {id}{value};\n")
                }
            };
            self.declare(name, &doc(&[format!("{what} a document of `{}`.", model.id)]), &body);
        }
        let paths = paths::paths(root, schema);
        let body = self.filter_body(root, &paths, &types.filter, true);
        self.declare(&types.filter, &doc(&[format!("Which documents of `{}`, as in MongoDB.", model.id)]), &body);
        let mut plain = vec!["\"_id\"".to_owned(), "\"_rev\"".to_owned()];
        for path in paths.iter().filter(|path| !path.is_private && !path.has_position) {
            plain.push(path.literal());
            if path.is_cut {
                plain.push(format!("`{}.${{string}}`", path.text));
            }
        }
        self.declare(&types.path, "", &format!(" = {};\n", super::schema::union(plain)));
        self.update(model, root, &paths, &types);
        let unique: Vec<String> =
            model.fields.iter().filter(|field| field.unique).map(|field| quoted(&field.name)).collect();
        let unique = unique.into_iter().chain(model.client_ids.then(|| "\"_id\"".to_owned()));
        let all = model.fields.iter().map(|field| quoted(&field.name));
        let places = paths::places(root, schema, if model.client_ids { &["/_id"] } else { &[] });
        let (unique, all) = (super::schema::union(unique), super::schema::union(all));
        let body = format!(" = Problem<{places}, {unique}, {all}>;\n");
        self.declare(
            &types.problem,
            &doc(&[format!("What can be wrong with a document of `{}`, or a query.", model.id)]),
            &body,
        );
        types
    }

    /// What an update does, by operator.
    fn update(&mut self, model: &'a ModelMetadata, root: Root<'a>, paths: &[Path<'a>], types: &Types) {
        let mut body = " {\n".to_owned();
        let written: Vec<&Path<'a>> = paths.iter().filter(|path| !path.is_through_list).collect();
        let operator = |body: &mut String, names: &[&str], members: &[(String, String)]| {
            if members.is_empty() {
                return;
            }
            for name in names {
                body.push_str(&format!("  readonly {name}?: {{\n"));
                for (key, of) in members {
                    body.push_str(&format!("    readonly {key}: {of};\n"));
                }
                body.push_str("  };\n");
            }
        };
        let keyed = |path: &Path<'_>| format!("{}{}", path.key(), if path.is_pattern { "" } else { "?" });
        let set: Vec<_> =
            written.iter().map(|path| (keyed(path), self.type_of(root, path.schema, Purpose::Input))).collect();
        operator(&mut body, &["$set"], &set);
        let unset: Vec<_> = written
            .iter()
            .filter(|path| !path.is_required)
            .map(|path| (keyed(path), "1 | true | \"\"".to_owned()))
            .collect();
        operator(&mut body, &["$unset"], &unset);
        let open: Vec<&Path<'a>> = written.iter().copied().filter(|path| !path.is_private).collect();
        let numbers: Vec<_> = open
            .iter()
            .filter(|path| path.kinds.is_number() || path.kinds.any)
            .map(|path| (keyed(path), "number".to_owned()))
            .collect();
        operator(&mut body, &["$inc", "$mul"], &numbers);
        let ordered: Vec<_> = open
            .iter()
            .filter(|path| path.kinds.is_number() || path.kinds.is_text())
            .map(|path| {
                let of = self.type_of(root, path.schema, Purpose::Input);
                (keyed(path), of)
            })
            .collect();
        operator(&mut body, &["$min", "$max"], &ordered);
        let bits: Vec<_> = open
            .iter()
            .filter(|path| path.kinds.is_number() && path.kinds.integer)
            .map(|path| {
                (
                    keyed(path),
                    "{ readonly and: number } | { readonly or: number } | { readonly xor: number }".to_owned(),
                )
            })
            .collect();
        operator(&mut body, &["$bit"], &bits);
        let dates: Vec<_> = open
            .iter()
            .filter(|path| {
                path.kinds.is_text()
                    && root.resolved(path.schema).get("format").is_some_and(|format| format == "date-time")
            })
            .map(|path| (keyed(path), "true".to_owned()))
            .collect();
        operator(&mut body, &["$currentDate"], &dates);
        let [mut pushed, mut added, mut pulled, mut taken, mut popped] = [const { Vec::new() }; 5];
        for path in open.iter().filter(|path| path.kinds.is_list()) {
            let items: Vec<&'a Value> = path.kinds.lists.iter().filter_map(|list| list.get("items")).collect();
            let [item] = items.as_slice() else { continue };
            let element = self.type_of(root, item, Purpose::Input);
            pushed.push((keyed(path), format!("Pushed<{element}>")));
            popped.push((keyed(path), "1 | -1".to_owned()));
            // What it holds of what is private would be found out by these.
            if root.holds_private(path.schema) {
                continue;
            }
            let test = self.element_test(root, item);
            added.push((keyed(path), format!("Added<{element}>")));
            pulled.push((keyed(path), format!("{element} | {test}")));
            taken.push((keyed(path), format!("readonly {}[]", super::schema::bound(&element))));
        }
        operator(&mut body, &["$push"], &pushed);
        operator(&mut body, &["$addToSet"], &added);
        operator(&mut body, &["$pull"], &pulled);
        operator(&mut body, &["$pullAll"], &taken);
        operator(&mut body, &["$pop"], &popped);
        if !open.is_empty() {
            body.push_str(&format!("  readonly $rename?: {{ readonly [path in {0}]?: {0} }};\n", types.path));
        }
        body.push_str("}\n");
        self.declare(
            &types.update,
            &doc(&[format!("What is done to a document of `{}`, by operators as in MongoDB.", model.id)]),
            &body,
        );
    }

    /// What an operation takes and answers.
    fn called(&mut self, model: &ModelMetadata, operation: &'a OperationMetadata) -> Called<'a> {
        let name = format!("{}{}", pascal(&model.id), pascal(&operation.id));
        let mut args_optional = true;
        let mut places = "\"\"".to_owned();
        let args = operation.args.as_ref().map(|schema| {
            let root = self.root(schema, false);
            let kinds = root.kinds(schema);
            let needs = |object: &serde_json::Map<String, Value>| super::schema::required(object).next().is_some();
            args_optional =
                !kinds.objects.is_empty() && !kinds.objects.iter().any(|object| needs(object)) && !kinds.is_list();
            places = paths::places(root, schema, &[]);
            self.of_operation(root, schema, &format!("{name}Args"), Purpose::Input)
        });
        let root = self.root(&operation.output, true);
        let output = self.of_operation(root, &operation.output, &format!("{name}Output"), Purpose::Output);
        Called { operation, args, args_optional, output, places }
    }

    /// A type with a name where it is an object, or has a name by itself.
    fn of_operation(&mut self, root: Root<'a>, schema: &'a Value, fallback: &str, purpose: Purpose) -> String {
        let is_deep = ["properties", "oneOf", "anyOf", "enum"].iter().any(|word| schema.get(word).is_some());
        if !is_deep {
            return self.type_of(root, schema, purpose);
        }
        let title =
            schema.get("title").and_then(Value::as_str).map(|title| title.strip_prefix("Doc_").unwrap_or(title));
        let is_name = |title: &&str| {
            names::is_identifier(title)
                && title.starts_with(|first: char| first.is_ascii_uppercase())
                && !title.contains('_')
        };
        match title.filter(is_name) {
            // A choice of others, as `Nullable_…`.
            None if schema.get("properties").is_none() => self.type_of(root, schema, purpose),
            Some(title) => self.named(root, schema, title, purpose),
            None => self.named(root, schema, fallback, purpose),
        }
    }

    /// The rooms of a model that has events.
    fn room(&mut self, model: &ModelMetadata, document: Option<&(Root<'a>, String)>, events: &[Called<'a>]) -> String {
        let base = document.map_or_else(|| pascal(&model.id), |(_, name)| name.clone());
        let name = self.names.take(&format!("{base}Room"));
        let mut body = "<Payload> extends Room<Payload> {\n".to_owned();
        for called in events {
            let parameters = called.parameters("args", "RequestOptions");
            method(&mut body, called, OF_A_ROOM, &parameters, "dispatch");
        }
        body.push_str("}\n");
        let comment = doc(&[format!("A room of `{}`, and what can be said in it.", model.id)]);
        self.declare(&name, &comment, &body);
        name
    }
}

impl Called<'_> {
    fn parameters(&self, args: &str, options: &str) -> String {
        match &self.args {
            None => format!("{args}?: undefined, options?: {options}"),
            Some(of) if self.args_optional => format!("{args}?: {of}, options?: {options}"),
            Some(of) => format!("{args}: {of}, options?: {options}"),
        }
    }
}

fn is_operation(model: &ModelMetadata, name: &str) -> bool {
    let all = [&model.operations, &model.uploads, &model.streams];
    all.into_iter().flatten().any(|operation| operation.id == name)
}

/// An operation as a member, unless there is another one of that name, and by its id.
fn method(body: &mut String, called: &Called<'_>, taken: &[&str], parameters: &str, by_id: &str) {
    let Called { operation, output, .. } = called;
    let lines: Vec<String> = operation.description.lines().map(str::to_owned).collect();
    if !taken.contains(&operation.id.as_str()) {
        body.push_str(&indented(&doc(&lines)));
        body.push_str(&format!("  {}({parameters}): Promise<{output}>;\n", key(&operation.id)));
    }
    body.push_str(&format!("  {by_id}(id: {}, {parameters}): Promise<{output}>;\n", quoted(&operation.id)));
}

fn head(metadata: &Metadata) -> String {
    format!(
        "// A typed client, generated by modeller {}; what is changed here is lost when it is generated again.\n\
         //\n\
         //     const client = connect({{ url: \"https://api.example.com\" }});\n\n\
         /* eslint-disable */\n\n",
        metadata.modeller.chars().filter(|letter| !letter.is_control()).collect::<String>()
    )
}

/// What is placed within something: a model, or what only has models within it.
#[derive(Default)]
struct Place<'a> {
    model: Option<&'a str>,
    within: BTreeMap<&'a str, Place<'a>>,
}

/// The interface of the client, and how it is made.
fn client(metadata: &Metadata, interfaces: &BTreeMap<&str, String>) -> String {
    let mut root = Place::default();
    for model in &metadata.models {
        let place = model.id.split('.').fold(&mut root, |place, name| place.within.entry(name).or_default());
        place.model = Some(&model.id);
    }
    let mut body = String::new();
    for (name, place) in root.within {
        if !OF_THE_CLIENT.contains(&name) {
            body.push_str(&format!("  readonly {}: {};\n", key(name), within(&place, interfaces)));
        }
    }
    let models: String = interfaces.iter().map(|(id, name)| format!("  readonly {}: {name};\n", quoted(id))).collect();
    body.push_str("  /** A model by its id. */\n  model<Id extends keyof Models>(id: Id): Models[Id];\n");
    format!(
        "/** Connects nothing yet: requests are made when they are, and the socket is opened when something is live. */\n\
         export const connect = (options: ConnectOptions): Client => new ClientHandle(options, MODELS) as unknown as Client;\n\n\
         export interface Client extends Connection {{\n{body}}}\n\n\
         export interface Models {{\n{models}}}\n\n"
    )
}

fn within(place: &Place<'_>, interfaces: &BTreeMap<&str, String>) -> String {
    // A model names what extends it itself.
    if let Some(name) = place.model.and_then(|id| interfaces.get(id)) {
        return name.clone();
    }
    let members = place
        .within
        .iter()
        .filter(|(name, _)| **name != "then")
        .map(|(name, place)| format!("readonly {}: {}", key(name), within(place, interfaces)));
    format!("{{ {} }}", members.collect::<Vec<_>>().join("; "))
}

/// What the runtime has to know of the models.
fn descriptions(metadata: &Metadata) -> String {
    let mut out = "const MODELS: { readonly [id: string]: ModelDescription } = {\n".to_owned();
    for model in &metadata.models {
        let ids = |operations: &[OperationMetadata]| {
            let ids = operations.iter().map(|operation| quoted(&operation.id));
            ids.collect::<Vec<_>>().join(", ")
        };
        let once: Vec<String> = model.operations.iter().filter(|it| it.once).map(|it| quoted(&it.id)).collect();
        let mut members = Vec::new();
        for (name, ids) in [
            ("methods", ids(&model.operations)),
            ("once", once.join(", ")),
            ("events", ids(&model.events)),
            ("uploads", ids(&model.uploads)),
            ("streams", ids(&model.streams)),
        ] {
            if !ids.is_empty() {
                members.push(format!("{name}: [{ids}]"));
            }
        }
        if model.trash {
            members.push("trash: true".to_owned());
        }
        out.push_str(&format!("  {}: {{ {} }},\n", quoted(&model.id), members.join(", ")).replace("{  }", "{}"));
    }
    out.push_str("};\n\n");
    out
}
