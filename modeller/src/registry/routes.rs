//! The routes of the program's own, proved: no two of them take the same request, and none takes what is a model's.

use std::borrow::Cow;

use super::assemble::place;
use crate::core::schema::outside::{Checked, Described};
use crate::core::schema::registered::Schemas;
use crate::core::schema::{Visibility, is_operation_id};
use crate::model::handler::{OutputKind, PayloadKind};
use crate::model::journal::CallSite;
use crate::model::route::{GivenRoute, HttpMethod, RouteDeclaration, RoutePart, RouteRuntime, Run, TypedPart};

/// Which routes an application has beside those that are given.
#[derive(Clone, Debug, Default)]
pub(crate) enum DeclaredRoutes {
    /// All that are declared in the program.
    #[default]
    All,
    /// Those that are declared in these modules, and in modules of theirs.
    In(Vec<String>),
}

impl DeclaredRoutes {
    pub(super) fn has(&self, route: &RouteDeclaration) -> bool {
        match self {
            Self::All => true,
            Self::In(modules) => modules.iter().any(|module| {
                let rest = route.site.module.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            }),
        }
    }
}

/// All routes, in the order of their paths and methods, and what is wrong with them. A model is its id, and where it is said.
pub(super) fn prove(
    declared: &[&'static RouteDeclaration],
    given: &[GivenRoute],
    models: &[(String, String)],
    shared: &Schemas,
    wrong: &mut Vec<String>,
) -> Vec<RouteRuntime> {
    let mut routes: Vec<RouteRuntime> = Vec::new();
    let declared = declared.iter().map(|route| of_declaration(route, shared));
    let given = given.iter().map(|route| of_closure(route, shared));
    for route in declared.chain(given) {
        match route.and_then(|route| check(route, &routes, models)) {
            Ok(route) => routes.push(route),
            Err(mistake) => wrong.push(mistake),
        }
    }
    routes.sort_by(|a, b| (&a.path, a.method).cmp(&(&b.path, b.method)));
    routes
}

fn told(method: HttpMethod, path: &str, site: &CallSite) -> String {
    format!("the route `{method} {path}` ({site})")
}

fn output(kind: Option<OutputKind>, shared: &Schemas) -> Result<Option<Described>, String> {
    let schema = |kind: OutputKind| shared.contained_in_type((kind.schema)().to_value());
    kind.map(|kind| schema(kind).map(|schema| Described::new(&schema))).transpose()
}

fn of_declaration(route: &'static RouteDeclaration, shared: &Schemas) -> Result<RouteRuntime, String> {
    let site = CallSite::from(route.site);
    let wrong = |what: String| format!("{}: {what}", told(route.method, route.path, &site));
    if !is_operation_id(route.id) {
        return Err(wrong("its id must match [a-z][A-Za-z0-9_-]*".to_owned()));
    }
    let typed = |kind: PayloadKind| {
        let schema = shared.contained_in_type((kind.schema)().to_value())?;
        Ok::<_, String>(TypedPart { checked: Checked::new(&schema)?, kind })
    };
    let (mut path_args, mut query_args, mut whole) = (None, None, false);
    for part in route.parts {
        let (slot, kind, what) = match part {
            RoutePart::None => continue,
            RoutePart::Request => {
                whole = true;
                continue;
            }
            RoutePart::Path(kind) => (&mut path_args, kind, "PathArgs"),
            RoutePart::Query(kind) => (&mut query_args, kind, "QueryArgs"),
        };
        if slot.replace(typed(*kind).map_err(&wrong)?).is_some() {
            return Err(wrong(format!("it takes `{what}<…>` twice")));
        }
    }
    Ok(RouteRuntime {
        id: Cow::Borrowed(route.id),
        method: route.method,
        path: Cow::Borrowed(route.path),
        access: route.access,
        description: route.description,
        args: route.args.map(typed).transpose().map_err(&wrong)?,
        path_args,
        query_args,
        whole,
        output: output(route.output, shared).map_err(&wrong)?,
        transaction: route.transaction,
        run: Run::Declared(route.run),
        site,
    })
}

fn of_closure(route: &GivenRoute, shared: &Schemas) -> Result<RouteRuntime, String> {
    let GivenRoute { method, path, access, site, run, .. } = route.clone();
    let described = output(route.output, shared).map_err(|what| format!("{}: {what}", told(method, &path, &site)))?;
    // Words of its path, so that it is the same in every run.
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = words.fold(method.as_str().to_ascii_lowercase(), |id, word| format!("{id}_{word}"));
    Ok(RouteRuntime {
        id: Cow::Owned(id),
        method,
        path: Cow::Owned(path),
        access,
        description: "",
        args: None,
        path_args: None,
        query_args: None,
        whole: true,
        output: described,
        transaction: false,
        run: Run::Given(run),
        site,
    })
}

fn check(route: RouteRuntime, others: &[RouteRuntime], models: &[(String, String)]) -> Result<RouteRuntime, String> {
    let told = told(route.method, &route.path, &route.site);
    let segments = segments(&route.path).map_err(|what| format!("{told}: {what}"))?;
    if route.access == Visibility::Internal {
        return Err(format!("{told}: what nobody outside reaches is no route"));
    }
    if let Some(Segment::Text(first)) = segments.first()
        && let Some((id, at)) = models.iter().find(|(id, _)| id == first)
    {
        return Err(format!("{told} lies within those of the model `{id}` ({at}); give it a path of its own"));
    }
    for other in others {
        let of_other = segments_of_proved(&other.path);
        let twin = || format!("{} {}` ({})", other.method, other.path, other.site);
        if clash(&segments, &of_other) {
            return Err(format!("{told} and `{} cannot be told apart; name their parameters alike", twin()));
        }
        if other.method == route.method && other.path == route.path {
            return Err(format!(
                "there are two routes `{} {}`: at {} and {}",
                route.method, route.path, other.site, route.site
            ));
        }
        if other.id == route.id {
            return Err(format!("{told} has the id `{}`, as `{}; write `id = \"…\"`", route.id, twin()));
        }
    }
    if let Some(part) = &route.path_args {
        let names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        let schema = part.checked.json(crate::core::private::Audience::Verified);
        let members = schema.get("properties").and_then(serde_json::Value::as_object);
        let members: Vec<&str> = members.into_iter().flat_map(|members| members.keys().map(String::as_str)).collect();
        if let Some(unknown) = members.iter().find(|member| !names.contains(*member)) {
            return Err(format!("{told}: its path has no parameter `{{{unknown}}}`, which its `PathArgs<…>` asks for"));
        }
        if let Some(untaken) = names.iter().find(|name| !members.contains(*name)) {
            return Err(format!("{told}: its `PathArgs<…>` has no field for the parameter `{{{untaken}}}`"));
        }
    }
    Ok(route)
}

/// A part of a path between two slashes.
#[derive(Debug, PartialEq)]
enum Segment<'p> {
    Text(&'p str),
    One(&'p str),
    Rest(&'p str),
}

impl<'p> Segment<'p> {
    fn name(&self) -> Option<&'p str> {
        match self {
            Self::Text(_) => None,
            Self::One(name) | Self::Rest(name) => Some(name),
        }
    }
}

/// The segments of a path; what is wrong with it is told as `#[route]` tells it.
fn segments(path: &str) -> Result<Vec<Segment<'_>>, String> {
    let Some(rest) = path.strip_prefix('/') else { return Err("a path begins with `/`".to_owned()) };
    if rest.starts_with('@') {
        return Err("what begins with `/@` is the server's own".to_owned());
    }
    let mut segments: Vec<Segment<'_>> = Vec::new();
    if rest.is_empty() {
        return Ok(segments);
    }
    let count = rest.split('/').count();
    for (at, text) in rest.split('/').enumerate() {
        let segment = match text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            Some(inner) => match inner.strip_prefix('*') {
                Some(name) if at + 1 == count => Segment::Rest(name),
                Some(_) => return Err(format!("`{text}` takes all that follows, so that nothing can follow it")),
                None => Segment::One(inner),
            },
            None if text.is_empty() => return Err("there is nothing between two `/`, or behind the last".to_owned()),
            None if text.starts_with([':', '*']) => {
                return Err(format!("a parameter is written `{{name}}`, not `{text}`"));
            }
            None if text.contains(['{', '}']) => {
                return Err(format!(
                    "`{text}` is neither a text nor a parameter; a parameter has a segment of its own"
                ));
            }
            None if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)) => {
                return Err(format!("`{text}` has a character in it that a path cannot have"));
            }
            None => Segment::Text(text),
        };
        if let Some(name) = segment.name() {
            let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
            if !begins || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(format!("`{text}` is no parameter; its name is letters, digits and `_`"));
            }
            if segments.iter().any(|known| known.name() == Some(name)) {
                return Err(format!("two parameters are named `{name}`"));
            }
            if at == 0 {
                return Err("the first part of a path is a text, as the ids of models stand there".to_owned());
            }
        }
        segments.push(segment);
    }
    if matches!(segments.first(), Some(Segment::Text("socket.io"))) {
        return Err("`/socket.io` is for clients of Socket.IO".to_owned());
    }
    Ok(segments)
}

/// Those of a path that is known to have some.
fn segments_of_proved(path: &str) -> Vec<Segment<'_>> {
    segments(path).unwrap_or_default()
}

/// Whether two paths differ in the names of parameters alone, or one takes the rest where the other takes a segment: then it
/// is not known which is meant.
fn clash(one: &[Segment<'_>], other: &[Segment<'_>]) -> bool {
    let mut named_alike = true;
    for pair in one.iter().zip(other) {
        match pair {
            (Segment::Text(a), Segment::Text(b)) if a == b => {}
            // A text goes before a parameter.
            (Segment::Text(_), _) | (_, Segment::Text(_)) => return false,
            (Segment::One(a), Segment::One(b)) | (Segment::Rest(a), Segment::Rest(b)) => named_alike &= a == b,
            _ => return true,
        }
    }
    one.len() == other.len() && !named_alike
}

/// Where a model is said, for messages.
pub(super) fn place_of(site: Option<&crate::core::schema::Site>) -> String {
    site.map_or_else(|| "given as JSON".to_owned(), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked() {
        for right in ["/", "/ping", "/things/{id}", "/a/{b}/c/{d_1}", "/files/{*path}", "/a.b/c-d/~e"] {
            assert!(segments(right).is_ok(), "{right}: {:?}", segments(right));
        }
        for wrong in [
            "",
            "ping",
            "/@ping",
            "//",
            "/a/",
            "/a//b",
            "/{id}",
            "/{*all}",
            "/a/:id",
            "/a/*rest",
            "/a/{}",
            "/a/{1}",
            "/a/{a-b}",
            "/a/{id",
            "/a/x{id}",
            "/a/{id}x",
            "/a/{x}/{x}",
            "/a/{*x}/b",
            "/a b",
            "/a?b",
            "/ä",
            "/a%20b",
            "/socket.io/x",
            "/a/{{x}}",
        ] {
            assert!(segments(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_that_cannot_be_told_apart() {
        let of = |a, b| clash(&segments(a).unwrap(), &segments(b).unwrap());
        for (a, b) in
            [("/a/{x}", "/a/{y}"), ("/a/{x}", "/a/{*x}"), ("/a/{x}/b", "/a/{*r}"), ("/a/{x}/{y}", "/a/{x}/{z}")]
        {
            assert!(of(a, b) && of(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("/a/{x}", "/a/{x}"),
            ("/a/{x}", "/a/b"),
            ("/a/{x}/b", "/a/{y}/c"),
            ("/a/{x}", "/b/{y}"),
            ("/a", "/a/{x}"),
            ("/a/{x}/b", "/a/{y}"),
        ] {
            assert!(!of(a, b) && !of(b, a), "{a} {b}");
        }
    }
}
