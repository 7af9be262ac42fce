//! `modeller migrate`: rewrites the documents of a store, while nobody serves it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Outcome, print, schema, text, wrong};
use crate::app::{App, AppBuilder};
use crate::core::json::Document;
use crate::core::query::filter::Filter;
use crate::core::query::update::Update;
use crate::core::storage::Storage;
use crate::error::{Error, Result};
use crate::model::given::SchemaModel;
use crate::storage::sqlite::{FILE, Sqlite};

const USAGE: &str = "\
--data DIR          the folder of the store, which nobody else has open
--model ID=FILE     the model of this id has the schema of this file from here on; may be given several times. Models that are
                    not named keep the schema they have
--update UPDATE     how documents are rewritten: update operators or a merge patch, as JSON in MongoDB syntax. Without `--filter` those
                    that do not fit; with one model it is for that, else say `--update ID=UPDATE`
--filter FILTER     rewrite what matches, whether it fits or not
--drop ID           let go of a model and its documents, which are printed; may be given several times
--dry-run           show what would become of it, and change nothing
";

/// How long the trash keeps what is in it while this looks: how long it does is the program's to say.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

#[derive(Default)]
struct Options {
    data: Option<PathBuf>,
    models: Vec<(String, OsString)>,
    updates: Vec<String>,
    filter: Option<String>,
    drop: Vec<String>,
    dry_run: bool,
    help: bool,
}

fn read(mut args: impl Iterator<Item = OsString>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let name = arg.into_string().map_err(|_| wrong("an argument is not UTF-8"))?;
        let mut value = || args.next().ok_or_else(|| wrong(format!("`{name}` needs a value")));
        match name.as_str() {
            "--help" | "-h" => options.help = true,
            "--dry-run" => options.dry_run = true,
            "--data" => options.data = Some(value()?.into()),
            "--drop" => options.drop.push(text(&name, value()?)?),
            "--filter" => options.filter = Some(text(&name, value()?)?),
            "--update" => options.updates.push(text(&name, value()?)?),
            "--model" => {
                let given = text(&name, value()?)?;
                let (id, file) = given.split_once('=').ok_or_else(|| wrong("`--model` is ID=FILE"))?;
                options.models.push((id.to_owned(), file.into()));
            }
            _ => return Err(wrong(format!("there is no argument `{name}`; see `modeller migrate --help`"))),
        }
    }
    Ok(options)
}

pub(super) fn run(args: impl Iterator<Item = OsString>) -> Result<Outcome> {
    let options = read(args)?;
    if options.help {
        return print(USAGE);
    }
    let Some(data) = &options.data else { return Err(wrong("`modeller migrate` needs a store: `--data DIR`")) };
    if !data.join(FILE).is_file() {
        return Err(wrong(format!("there is no store in {}", data.display())));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if options.dry_run {
        let copy = Copy::of(data)?;
        return runtime.block_on(migrate(&options, &copy.0));
    }
    runtime.block_on(migrate(&options, data))
}

/// A copy of a store, gone with this.
struct Copy(PathBuf);

impl Copy {
    fn of(folder: &Path) -> Result<Self> {
        let copy = Self(std::env::temp_dir().join(format!("modeller-{}", uuid::Uuid::new_v4())));
        let mut made = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut made, 0o700);
        made.create(&copy.0)?;
        // Held while it is copied, so that it is one state.
        let held = Sqlite::at(folder);
        held.open(&mut |_| Ok(()))?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(FILE) {
                std::fs::copy(entry.path(), copy.0.join(entry.file_name()))?;
            }
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The schemas that the store has, by the ids of its models.
fn stored_schemas(data: &Path) -> Result<BTreeMap<String, Value>> {
    let opened = Sqlite::at(data).open(&mut |_| Ok(()))?;
    let all: BTreeMap<String, Value> = match opened.schemas {
        Some(text) => serde_json::from_str(&text).map_err(Error::internal)?,
        None => BTreeMap::new(),
    };
    Ok(all
        .into_iter()
        .filter(|(id, _)| !id.starts_with('@'))
        .map(|(id, mut kept)| (id, kept.get_mut("schema").map(Value::take).unwrap_or_default()))
        .collect())
}

/// The updates by the models that they are for.
fn updates(options: &Options) -> Result<BTreeMap<String, Update<Document>>> {
    let mut updates = BTreeMap::new();
    for given in &options.updates {
        let (id, update) = match (given.trim_start().starts_with('{'), options.models.as_slice()) {
            (true, [(id, _)]) => (id.clone(), given.as_str()),
            (true, _) => {
                return Err(wrong("`--update` does not say which model it is for; write `--update ID=UPDATE`"));
            }
            (false, _) => {
                let (id, update) = given.split_once('=').ok_or_else(|| wrong("`--update` is UPDATE or ID=UPDATE"))?;
                (id.to_owned(), update)
            }
        };
        let json = serde_json::from_str(update).map_err(|cause| wrong(format!("`--update` is not JSON: {cause}")))?;
        if updates.insert(id.clone(), Update::parse(json)?).is_some() {
            return Err(wrong(format!("there are two updates for `{id}`")));
        }
    }
    Ok(updates)
}

async fn migrate(options: &Options, data: &Path) -> Result<Outcome> {
    let updates = updates(options)?;
    let filter = match &options.filter {
        None => None,
        Some(text) => {
            let json: Value =
                serde_json::from_str(text).map_err(|cause| wrong(format!("`--filter` is not JSON: {cause}")))?;
            Some(Filter::<Document>::parse(&json)?)
        }
    };
    let mut schemas = stored_schemas(data)?;
    for id in &options.drop {
        if schemas.remove(id).is_none() {
            return Err(wrong(format!("the store has no model `{id}`")));
        }
    }
    for (id, file) in &options.models {
        schemas.insert(id.clone(), schema(Path::new(file))?);
    }
    if let Some(id) = updates.keys().find(|id| !schemas.contains_key(*id)) {
        return Err(wrong(format!("there is no model `{id}` to update")));
    }
    let rewritten = Arc::new(AtomicUsize::new(0));
    let mut app: AppBuilder = App::new().data(data);
    for (id, schema) in schemas {
        let mut model = SchemaModel::new(id.clone(), schema).trash(NEVER);
        if let (Some(update), None) = (updates.get(&id), &filter) {
            let (update, counted) = (update.raw().clone(), rewritten.clone());
            model = model.migrate(move |old| {
                let mut json = Value::Object(old.into_members());
                update.apply(&mut json)?;
                counted.fetch_add(1, Ordering::Relaxed);
                Document::try_from(json).map_err(|error| Error::internal(error.to_string()))
            });
        }
        app = app.schema_model(model);
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let out = Arc::new(Mutex::new(std::io::stdout()));
    for id in &options.drop {
        let (model, out, counted) = (id.clone(), out.clone(), dropped.clone());
        let tell = move |id: &str, doc: &str| {
            let doc: Value = serde_json::from_str(doc).map_err(Error::internal)?;
            counted.fetch_add(1, Ordering::Relaxed);
            // What cannot be written down is not let go.
            Ok(writeln!(out.lock(), "{}", json!({"model": model, "_id": id, "document": doc}))?)
        };
        app.dropped.insert(id.clone(), Arc::new(tell));
    }
    let app = app.open().await?;
    if let Some(filter) = filter {
        for (id, update) in updates {
            let model = app.model_by_id(&id)?;
            rewritten.fetch_add(model.update_many(filter.clone(), update).await?, Ordering::Relaxed);
        }
    }
    let told = json!({
        "rewritten": rewritten.load(Ordering::Relaxed),
        "dropped": dropped.load(Ordering::Relaxed),
        "dryRun": options.dry_run,
    });
    print(&format!("{told}\n"))
}

/// The command with the exit code of the program.
#[expect(clippy::print_stderr, reason = "the one line of a command that changed nothing")]
pub(super) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match run(args) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', " "));
            ExitCode::from(if error.code().as_str() == "INVALID_ARGUMENT" { 2 } else { 1 })
        }
    }
}
