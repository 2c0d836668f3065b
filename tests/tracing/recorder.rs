//! A subscriber that keeps what it is told.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tracing::{
    Dispatch, Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{Layer, Registry, layer::Context, layer::SubscriberExt, registry::LookupSpan};

/// An event, and the spans it happened in, the outermost first.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) spans: Vec<(&'static str, Fields)>,
}

pub(crate) type Fields = BTreeMap<&'static str, String>;

impl Line {
    pub(crate) fn message(&self) -> &str {
        &self.fields["message"]
    }

    /// The fields of the innermost span of this name; nothing where there is none.
    pub(crate) fn span(&self, name: &str) -> Option<&Fields> {
        let mut named = self.spans.iter().rev().filter(|(known, _)| *known == name);
        named.next().map(|(_, fields)| fields)
    }
}

/// All lines told to this thread while it exists.
pub(crate) struct Recorder {
    lines: Lines,
    /// Where there is only one, whether an event is recorded is asked of the thread that comes to it first, which may be another test's.
    _second: Dispatch,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Recorder {
    pub(crate) fn start() -> Self {
        let lines = Lines::default();
        let subscriber = Registry::default().with(lines.clone().with_filter(LevelFilter::TRACE));
        Self {
            lines,
            _second: Dispatch::new(Registry::default()),
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// What was told since the last time, by this crate or by the tests.
    pub(crate) fn take(&self) -> Vec<Line> {
        let lines = std::mem::take(&mut *self.lines.0.lock().expect("the lock"));
        let ours = |line: &Line| line.target.starts_with("tower_api_key") || line.target == "test";
        lines.into_iter().filter(ours).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut reader = Reader::default();
        attributes.record(&mut reader);
        let span = context.span(id).expect("a span");
        span.extensions_mut().insert(reader.0);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut reader = Reader::default();
        record.record(&mut reader);
        let span = context.span(id).expect("a span");
        let mut extensions = span.extensions_mut();
        extensions
            .get_mut::<Fields>()
            .expect("its fields")
            .extend(reader.0);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut reader = Reader::default();
        event.record(&mut reader);
        let spans = context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root());
        let spans = spans.map(|span| {
            let fields = span.extensions().get::<Fields>().cloned();
            (span.name(), fields.unwrap_or_default())
        });
        let line = Line {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            fields: reader.0,
            spans: spans.collect(),
        };
        self.0.lock().expect("the lock").push(line);
    }
}

#[derive(Default)]
struct Reader(Fields);

impl Visit for Reader {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
