//! `modeller serve`: JSON Schema files as an application.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::{print, schema, text, wrong};
use crate::app::App;
use crate::core::schema::Visibility;
use crate::error::Result;
use crate::model::given::SchemaModel;
use crate::server::console;
use crate::server::serve::{self, Options};

const USAGE: &str = "\
--model ID=FILE     a model of this id from a JSON Schema file; may be given several times
--public            anyone may reach the models
--protected         callers with a verified token may reach them; without both, nobody does
--memory            nothing is kept
";

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut models: Vec<(String, OsString)> = Vec::new();
    let mut access = None;
    let mut memory = false;
    let options = Options::read(args, |name| std::env::var_os(name), &mut |name, value| {
        match name {
            "--model" => {
                let given = text(name, value()?)?;
                let (id, file) = given.split_once('=').ok_or_else(|| wrong("`--model` is ID=FILE"))?;
                models.push((id.to_owned(), file.into()));
            }
            "--public" | "--protected" => {
                let wanted = if name == "--public" { Visibility::Public } else { Visibility::Protected };
                if access.replace(wanted).is_some_and(|other| other != wanted) {
                    return Err(wrong("`--public` and `--protected` exclude each other"));
                }
            }
            "--memory" => memory = true,
            _ => return Ok(false),
        }
        Ok(true)
    });
    crate::server::main(async move {
        console::install()?;
        let options = options?;
        if options.help {
            return print(&format!("{USAGE}{}", serve::USAGE)).map(drop);
        }
        if models.is_empty() {
            return Err(wrong("`modeller serve` needs a model: `--model users=users.schema.json`"));
        }
        application(models, access.unwrap_or_default(), memory)?.serve_as(options, "127.0.0.1:3030").await
    })
}

fn application(models: Vec<(String, OsString)>, access: Visibility, memory: bool) -> Result<crate::app::AppBuilder> {
    let mut app = App::new();
    if memory {
        app = app.in_memory();
    }
    for (id, file) in models {
        app = app.schema_model(SchemaModel::new(id, schema(Path::new(&file))?).access(access));
    }
    Ok(app)
}
