//! Puts declarations together: sorts them, because the linker's order means nothing, and refuses what contradicts itself, all
//! of it at once.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::routes::{self, DeclaredRoutes};
use super::{DECLARATIONS, Declaration};
use crate::core::collection::ModelIndex;
use crate::core::migrate::Migrations;
use crate::core::reference::Links;
use crate::core::schema::outside::Checked;
use crate::core::schema::outside::Described;
use crate::core::schema::registered::Schemas;
use crate::core::schema::{ModelDeclaration, ModelSchema, Site, Visibility, extended, is_operation_id};
use crate::error::{Error, Result};
use crate::model::access::{Callers, Rule};
use crate::model::declaration::{
    AccessDeclaration, AuthenticateDeclaration, HookDeclaration, OperationDeclaration, WorkerDeclaration,
};
use crate::model::given::SchemaModel;
use crate::model::route::{GivenRoute, RouteDeclaration, RouteRuntime};
use crate::model::runtime::{Hook, ModelRuntime, OperationKind, OperationRuntime};
use crate::model::worker::Worker;

/// The models of an application with all that belongs to them.
pub(crate) struct Assembly {
    pub(crate) models: Vec<ModelRuntime>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) migrations: Migrations,
    pub(crate) callers: Option<Callers>,
    pub(crate) routes: Vec<RouteRuntime>,
}

/// All models of the program, or those that are named, and those that are given, in the order of their ids.
pub(crate) fn assemble(
    named: Option<&[&'static ModelDeclaration]>,
    given: &[SchemaModel],
    registered: &[Value],
    (declared_routes, given_routes): (&DeclaredRoutes, &[GivenRoute]),
) -> Result<Assembly> {
    let shared = match Schemas::new(registered) {
        Ok(schemas) => schemas,
        Err(mistake) => return refuse(&[mistake]),
    };
    let mut wrong: Vec<String> = Vec::new();
    let mut declarations: Vec<&Declaration> = DECLARATIONS.iter().collect();
    declarations.sort_by_key(|declaration| site(declaration));

    let mut chosen: Vec<&'static ModelDeclaration> = match named {
        Some(named) => named.to_vec(),
        None => declarations
            .iter()
            .filter_map(|declaration| match declaration {
                Declaration::Model(model) => Some(*model),
                _ => None,
            })
            .collect(),
    };
    chosen.sort_by_key(|model| (model.id, model.site));
    // A model named twice is one.
    chosen.dedup_by(|a, b| std::ptr::eq(*a, *b) || (a.id == b.id && a.site == b.site));
    for pair in chosen.windows(2) {
        if let [a, b] = pair
            && a.id == b.id
        {
            wrong.push(format!("two models have the id `{}`: at {} and {}", a.id, place(&a.site), place(&b.site)));
        }
    }

    for (at, model) in given.iter().enumerate() {
        if chosen.iter().any(|other| other.id == model.id) || given.iter().take(at).any(|other| other.id == model.id) {
            wrong.push(format!("two models have the id `{}`, one of them given as JSON", model.id));
        }
    }

    let mut models: Vec<(Option<Site>, ModelRuntime)> = Vec::new();
    let mut proved = |site: Option<Site>, schema: Result<Arc<ModelSchema>>, hooks: &[Hook], rule| match schema {
        Ok(schema) => {
            let mut model = ModelRuntime::new(schema);
            model.rule = rule;
            for hook in hooks {
                if !model.hooks.add(hook) {
                    wrong.push(format!("`{}` has two hooks with the id `{}`", model.schema.id, hook.id));
                }
            }
            models.push((site, model));
        }
        Err(error) => wrong.push(error.text().to_owned()),
    };
    for declaration in &chosen {
        proved(Some(declaration.site), ModelSchema::prove(declaration, &shared), &[], None);
    }
    for model in given {
        proved(
            None,
            ModelSchema::prove_json(
                &model.id,
                model.access,
                model.client_ids,
                model.trash,
                model.schema.clone(),
                &shared,
            ),
            &model.hooks,
            model.rule.clone(),
        );
    }
    for (site, model) in &models {
        let id = &model.schema.id;
        let Some((parent, _)) = extended(id) else { continue };
        if !models.iter().any(|(_, other)| other.schema.id == parent) {
            let at = site.as_ref().map_or_else(|| "given as JSON".to_owned(), place);
            wrong.push(format!("the model `{id}` ({at}) extends `{parent}`, which the application does not have"));
        }
    }
    if !wrong.is_empty() {
        return refuse(&wrong);
    }
    models.sort_by(|(_, a), (_, b)| a.schema.id.cmp(&b.schema.id));
    let places: HashMap<(String, Site), ModelIndex> = models
        .iter()
        .enumerate()
        .filter_map(|(at, (site, model))| Some(((model.schema.id.to_string(), (*site)?), at)))
        .collect();
    let named: Vec<(String, String)> =
        models.iter().map(|(site, model)| (model.schema.id.to_string(), routes::place_of(site.as_ref()))).collect();
    let mut models: Vec<ModelRuntime> = models.into_iter().map(|(_, model)| model).collect();
    let find = |model: &ModelDeclaration| places.get(&(model.id.to_owned(), model.site)).copied();

    let mut hooks: Vec<(ModelIndex, &'static HookDeclaration)> = Vec::new();
    let mut workers: Vec<(ModelIndex, &'static WorkerDeclaration)> = Vec::new();
    let mut proved_workers: Vec<Worker> = Vec::new();
    let mut declared: Vec<&'static RouteDeclaration> = Vec::new();
    let mut migrations = Migrations::default();
    let mut rules: HashMap<ModelIndex, &'static AccessDeclaration> = HashMap::new();
    let mut authenticate: Option<&'static AuthenticateDeclaration> = None;
    for model in given {
        if let Some(migrate) = &model.migrate {
            migrations.functions.insert(model.id.clone(), migrate.clone());
        }
    }
    for declaration in declarations {
        match *declaration {
            Declaration::Model(_) => {}
            Declaration::Route(route) => declared.extend(declared_routes.has(route).then_some(route)),
            Declaration::Hook(hook) => {
                let Some(at) = find(hook.model) else { continue };
                if let Some((_, other)) = hooks.iter().find(|(model, other)| *model == at && other.id == hook.id) {
                    wrong.push(twice("hook", hook.model.id, hook.id, &other.site, &hook.site));
                }
                hooks.push((at, hook));
            }
            Declaration::Method(operation)
            | Declaration::Event(operation)
            | Declaration::Upload(operation)
            | Declaration::Stream(operation) => {
                let Some(model) = find(operation.model).and_then(|at| models.get_mut(at)) else { continue };
                if let Some(other) = model.operations.get(operation.id) {
                    // From outside it is reached by its id alone, so one id is one operation.
                    wrong.push(twice(
                        "operation",
                        operation.model.id,
                        operation.id,
                        &other.declaration.site,
                        &operation.site,
                    ));
                    continue;
                }
                let kind = match declaration {
                    Declaration::Event(_) => OperationKind::Event,
                    Declaration::Upload(_) => OperationKind::Upload,
                    Declaration::Stream(_) => OperationKind::Stream,
                    _ => OperationKind::Method,
                };
                match prove(kind, operation, model.schema.access, &shared) {
                    Ok(proved) => {
                        model.operations.insert(operation.id, proved);
                    }
                    Err(reason) => wrong.push(reason),
                }
            }
            Declaration::Access(rule) => {
                let Some(at) = find(rule.model) else { continue };
                if let Some(other) = rules.insert(at, rule) {
                    let (id, a, b) = (rule.model.id, place(&other.site), place(&rule.site));
                    wrong.push(format!("`{id}` has two access rules: at {a} and {b}"));
                }
            }
            Declaration::Authenticate(found) => {
                if find(found.model).is_none() {
                    continue;
                }
                let (id, at) = (found.model.id, place(&found.site));
                if !found.model.caller {
                    wrong.push(format!("`{id}` is no model of callers ({at}); write `#[model(caller)]` on it"));
                }
                if let Some(other) = authenticate.replace(found) {
                    wrong.push(format!("two functions say who a caller is: at {} and {at}", place(&other.site)));
                }
            }
            Declaration::Migrate(migrate) => {
                if find(migrate.model).is_none() {
                    continue;
                }
                let id = migrate.model.id.to_owned();
                if migrations.functions.insert(id.clone(), Arc::new(migrate.run)).is_some() {
                    wrong.push(format!("`{id}` has two migrations, one of them at {}", place(&migrate.site)));
                }
            }
            Declaration::Worker(worker) => {
                let Some(at) = find(worker.model) else { continue };
                let twin = worker.id.and_then(|id| {
                    workers
                        .iter()
                        .find(|(model, other)| *model == at && other.id == Some(id))
                        .map(|(_, other)| (id, other.site))
                });
                if let Some((id, site)) = twin {
                    wrong.push(twice("worker", worker.model.id, id, &site, &worker.site));
                }
                workers.push((at, worker));
                match Worker::declared(at, worker) {
                    Ok(proved) => proved_workers.push(proved),
                    Err(error) => wrong.push(format!(
                        "the worker at {} of `{}`: {}",
                        place(&worker.site),
                        worker.model.id,
                        error.text()
                    )),
                }
            }
        }
    }
    for (at, rule) in rules {
        if let Some(model) = models.get_mut(at) {
            model.rule = Some(Rule::declared(rule));
        }
    }
    let callers: Vec<&ModelDeclaration> = chosen.iter().copied().filter(|model| model.caller).collect();
    if let [a, b, ..] = *callers {
        let (a, b) = (place(&a.site), place(&b.site));
        wrong.push(format!("two models are those of callers: at {a} and {b}; callers are of one"));
    }
    let callers = callers.first().and_then(|model| Some(Callers { model: find(model)?, find: authenticate }));
    if let Err(mistakes) = Links::of(&schemas(&models)) {
        wrong.extend(mistakes.into_iter().filter_map(|(at, what)| {
            let model = &models.get(at)?.schema;
            let at = chosen.iter().find(|declared| declared.id == model.id);
            let at = at.map_or_else(|| "given as JSON".to_owned(), |declared| place(&declared.site));
            Some(format!("model `{}` ({at}): {what}", model.id))
        }));
    }
    for (at, hook) in hooks {
        if let Some(model) = models.get(at) {
            // Within one order they stay sorted by their site.
            model.hooks.add(&Hook::declared(hook));
        }
    }
    let routes = routes::prove(&declared, given_routes, &named, &shared, &mut wrong);
    if wrong.is_empty() {
        Ok(Assembly { models, workers: proved_workers, migrations, callers, routes })
    } else {
        refuse(&wrong)
    }
}

fn refuse(wrong: &[String]) -> Result<Assembly> {
    Err(Error::new("INVALID_DECLARATION").status(500).message(wrong.join("; ")))
}

fn prove(
    kind: OperationKind,
    operation: &'static OperationDeclaration,
    of_model: Visibility,
    shared: &Schemas,
) -> std::result::Result<OperationRuntime, String> {
    let wrong = |what: &str| format!("`{}.{}` ({}): {what}", operation.model.id, operation.id, place(&operation.site));
    if !is_operation_id(operation.id) {
        return Err(wrong("its id must match [a-z][A-Za-z0-9_-]*"));
    }
    let args = match &operation.args {
        None => None,
        Some(kind) => {
            let schema = shared.contained_in_type((kind.schema)().to_value()).map_err(|reason| wrong(&reason))?;
            Some(Checked::new(&schema).map_err(|reason| wrong(&reason))?)
        }
    };
    Ok(OperationRuntime {
        kind,
        declaration: operation,
        access: operation.access.unwrap_or(of_model),
        args,
        output: Described::new(
            &shared.contained_in_type((operation.output.schema)().to_value()).map_err(|reason| wrong(&reason))?,
        ),
    })
}

fn site(declaration: &Declaration) -> Site {
    match declaration {
        Declaration::Model(it) => it.site,
        Declaration::Hook(it) => it.site,
        Declaration::Method(it) | Declaration::Event(it) | Declaration::Upload(it) | Declaration::Stream(it) => it.site,
        Declaration::Worker(it) => it.site,
        Declaration::Access(it) => it.site,
        Declaration::Authenticate(it) => it.site,
        Declaration::Migrate(it) => it.site,
        Declaration::Route(it) => it.site,
    }
}

pub(super) fn place(site: &Site) -> String {
    format!("{}:{}", site.file, site.line)
}

fn twice(what: &str, model: &str, id: &str, a: &Site, b: &Site) -> String {
    format!("`{model}` has two {what}s with the id `{id}`: at {} and {}", place(a), place(b))
}

/// Shares a schema without its model.
pub(crate) fn schemas(models: &[ModelRuntime]) -> Vec<Arc<ModelSchema>> {
    models.iter().map(|model| model.schema.clone()).collect()
}
