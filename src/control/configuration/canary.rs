//! Canaries where plans are made: compiled over what is in force, again after each change of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ADOPTION, Configuration, now_ms};
use crate::config::entries::Entry;
use crate::config::plan::{CompileError, Upstream};
use crate::config::schema::Kind;
use crate::control::canary::{
    Ask, Canaries, Canary, CanaryError, OnTrial, Share, State, TIME_MAX, Terms, arms,
};
use crate::control::editor::{Change, Refused};
use crate::shard::{Message, Trial};
use crate::telemetry::{Load, error_log};

/// The canary that runs.
pub(super) struct Running {
    canary: Canary,
    shares: Box<[u32]>,
    deadline: Instant,
    /// What it is to be once it is in force, as it is stored: parallel to [`Canary::changes`].
    stored: Vec<Option<serde_json::Value>>,
    /// Its upstreams that are not those in force.
    pub(super) upstreams: Vec<Arc<Upstream>>,
}

impl Configuration {
    /// The way to canaries.
    pub(in crate::control) fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Answers what is asked.
    pub(in crate::control) fn ask(&mut self, ask: Ask) {
        // Who asked may have gone.
        match ask {
            Ask::Begin(terms, reply) => _ = reply.send(self.begin(*terms)),
            Ask::End(number, reason, reply) => _ = reply.send(self.withdraw(number, reason)),
        }
    }

    /// When the canary that runs ends by itself.
    pub(in crate::control) fn canary_ends(&self) -> Option<Instant> {
        self.canary.as_ref().map(|running| running.deadline)
    }

    /// Ends the canary whose time is over.
    pub(in crate::control) fn canary_is_over(&mut self) {
        self.end_canary(State::Withdrawn, "its time is over".into());
    }

    fn begin(&mut self, terms: Terms) -> Result<Canary, CanaryError> {
        if let Some(running) = &self.canary {
            let number = running.canary.number;
            return Err(CanaryError::Conflict(format!("canary {number} runs: one at a time")));
        }
        let invalid = |reason: String| CanaryError::Refused(Refused::Invalid(reason));
        let Terms { author, mut changes, share, time, limits } = terms;
        let shards = self.running.as_ref().map_or(0, |running| running.worker.shards().len());
        let shares = share.shares(shards).map_err(invalid)?;
        if time.is_zero() || time > TIME_MAX {
            let most = TIME_MAX.as_secs();
            return Err(invalid(format!("seconds: expected above 0 and up to {most}")));
        }
        let changes = changes(&self.entries)?;
        if changes.is_empty() {
            return Err(invalid("it would change nothing".into()));
        }
        let is_ssl = |change: &Change| change.key.kind == Kind::Ssl;
        if changes.iter().any(is_ssl) && matches!(share, Share::Percent(_)) {
            let why = "ssls: a connection's certificate is that of all of its requests; try it on \
                       shards";
            return Err(invalid(why.into()));
        }
        let on_trial =
            |change: Change| OnTrial { base: self.entries.at(&change.key).cloned(), change };
        let since = now_ms();
        let canary = Canary {
            number: self.trials + 1,
            author,
            state: State::Running,
            share,
            since,
            until: since + time.as_millis() as u64,
            changes: changes.into_iter().map(on_trial).collect(),
            limits,
            reason: None,
            arms: None,
        };
        let deadline = Instant::now() + time;
        let (stored, upstreams) = (Vec::new(), Vec::new());
        self.canary = Some(Running { canary, shares, deadline, stored, upstreams });
        if let Err(refused) = self.lay_over() {
            self.canary = None;
            return Err(CanaryError::Refused(refused));
        }
        let canary = self.canary.as_ref().map(|running| running.canary.clone());
        let canary = canary.ok_or(CanaryError::None)?;
        self.trials = canary.number;
        self.canaries.show(&canary);
        let (number, name) = (canary.number, &canary.author.name);
        let keys: Vec<String> = canary.changes.iter().map(|one| one.change.key.path()).collect();
        error_log::info(
            "control",
            "canary began",
            format_args!("{number}, by {name}, on {:?}: {}", canary.share, keys.join(", ")),
        );
        Ok(canary)
    }

    fn withdraw(&mut self, number: Option<u64>, reason: String) -> Result<Canary, CanaryError> {
        let running = self.canary.as_ref().map(|running| running.canary.number);
        if running.is_none() || number.is_some() && number != running {
            return Err(CanaryError::None);
        }
        self.end_canary(State::Withdrawn, reason).ok_or(CanaryError::None)
    }

    /// Compiles the canary over what is in force, and has the shards serve it.
    fn lay_over(&mut self) -> Result<(), Refused> {
        let Some(running) = &self.canary else { return Ok(()) };
        let changes = running.canary.changes.iter().map(|one| one.change.clone()).collect();
        let (number, shares) = (running.canary.number, running.shares.clone());
        let prepared = self.prepare(changes, &self.entries, false)?;
        let told = |errors: Vec<CompileError>| {
            Refused::Invalid(errors.first().map_or_else(String::new, super::write::told))
        };
        let stored = prepared.asked.iter();
        let stored = stored.map(|key| prepared.entries.at(key).map(|entry| entry.value.clone()));
        let stored: Vec<_> = stored.collect();
        let on_trial = self.compiler.trial(prepared.edits, number).map_err(told)?;
        if let Some(running) = &mut self.canary {
            (running.stored, running.upstreams) = (stored, on_trial.upstreams);
        }
        // What is in force was compiled once more on the way.
        let plan = self.compiler.plan().clone();
        self.publish(&plan);
        if let Some(running) = &self.running {
            let trial = Trial { number, plan: on_trial.plan, shares };
            running.worker.try_out(Some(Arc::new(trial)), ADOPTION);
        }
        Ok(())
    }

    /// Behind a change of what is in force: lays the canary over it, or ends it where it was about
    /// the same.
    pub(super) fn rebase(&mut self) {
        let Some(running) = &self.canary else { return };
        let value = |entry: &Arc<Entry>| entry.value.clone();
        let mut disturbed = None;
        let mut promoted = true;
        for (one, stored) in running.canary.changes.iter().zip(&running.stored) {
            let now = self.entries.at(&one.change.key).map(value);
            promoted &= now == *stored;
            if now != one.base.as_ref().map(value) {
                disturbed.get_or_insert_with(|| one.change.key.path());
            }
        }
        match disturbed {
            Some(_) if promoted => {
                self.end_canary(State::Promoted, "it is in force for all".into());
            }
            Some(key) => {
                let reason = format!("{key} was written meanwhile");
                self.end_canary(State::Withdrawn, reason);
            }
            None => {
                if let Err(refused) = self.lay_over() {
                    let reason = format!("it does not go with a change: {refused}");
                    self.end_canary(State::Withdrawn, reason);
                }
            }
        }
    }

    fn end_canary(&mut self, state: State, reason: String) -> Option<Canary> {
        let Running { mut canary, .. } = self.canary.take()?;
        if let Some(running) = &self.running {
            running.worker.try_out(None, ADOPTION);
        }
        canary.arms = Some(arms(&self.loads(), canary.number));
        (canary.state, canary.until) = (state, now_ms());
        let (number, keys) = (canary.number, canary.changes.len());
        error_log::warn(
            "control",
            "canary ended",
            format_args!("{number}, of {keys} resources: {state:?}, {reason}"),
        );
        canary.reason = Some(reason);
        self.canaries.show(&canary);
        self.follow();
        Some(canary)
    }

    /// Every shard's requests.
    fn loads(&self) -> Vec<Load> {
        let Some(running) = &self.running else { return Vec::new() };
        let (reply, answers) = flume::unbounded();
        for shard in running.worker.shards() {
            shard.send(Message::Load(reply.clone()));
        }
        drop(reply);
        let deadline = Instant::now() + Duration::from_secs(1);
        std::iter::from_fn(|| answers.recv_deadline(deadline).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::entries::Key;
    use crate::config::store::{Embedded, FileStore, Local};
    use crate::control::editor::testing::{Harness, author};

    fn begin(
        configuration: &mut Configuration,
        changes: &[(&str, Option<serde_json::Value>)],
    ) -> Result<Canary, CanaryError> {
        let change = |(path, value): &(&str, Option<serde_json::Value>)| Change {
            key: Key::of_path(path).unwrap(),
            value: value.clone(),
        };
        let changes: Vec<Change> = changes.iter().map(change).collect();
        let (reply, mut answer) = oneshot::channel();
        let terms = Terms {
            author: author(),
            changes: Box::new(move |_| Ok(changes.clone())),
            share: Share::Percent(5.0),
            time: Duration::from_secs(60),
            limits: None,
        };
        configuration.ask(Ask::Begin(Box::new(terms), reply));
        answer.try_recv().unwrap()
    }

    fn uris(configuration: &Configuration) -> Vec<String> {
        let mut uris = Vec::new();
        configuration.plan().routes.each(|route| uris.push(route.uris[0].to_string()));
        uris.sort();
        uris
    }

    /// A file that is read again: what is in force changes, and a canary with it or not at all.
    #[test]
    fn a_canary_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apisix.yaml");
        let save =
            |routes: &str| std::fs::write(&path, format!("routes:{routes}\n#END\n")).unwrap();
        let (one, two) =
            ("\n  - { id: a, uri: /a, plugins: {} }", "\n  - { id: b, uri: /b, plugins: {} }");
        save(one);
        let store = FileStore::new(path.clone());
        let mut configuration =
            Harness::configuration(Box::new(store), Local::in_memory(10).unwrap());
        configuration.load().unwrap();
        let canaries = configuration.canaries().clone();
        let changes = [("routes/a", Some(json!({"id": "a", "uri": "/new", "plugins": {}})))];
        let canary = begin(&mut configuration, &changes).unwrap();
        assert_eq!((canary.number, canary.state), (1, State::Running));
        assert_eq!(uris(&configuration), ["/a"], "what is in force is as it was");
        assert!(matches!(begin(&mut configuration, &changes), Err(CanaryError::Conflict(_))));
        save(&format!("{one}{two}"));
        configuration.load().unwrap();
        assert_eq!(uris(&configuration), ["/a", "/b"]);
        assert_eq!(canaries.running().unwrap().number, 1);
        // What is on trial comes to be in force.
        save("\n  - { id: a, uri: /new, plugins: {} }");
        configuration.load().unwrap();
        let ended = canaries.last().unwrap();
        assert_eq!((ended.state, configuration.canary_ends()), (State::Promoted, None));
        assert_eq!(uris(&configuration), ["/new"]);

        let changes = [("routes/c", Some(json!({"uri": "/c", "plugins": {}})))];
        assert_eq!(begin(&mut configuration, &changes).unwrap().number, 2);
        save("\n  - { id: c, uri: /other, plugins: {} }");
        configuration.load().unwrap();
        let ended = canaries.last().unwrap();
        assert_eq!(ended.state, State::Withdrawn);
        assert_eq!(ended.reason.as_deref(), Some("routes/c was written meanwhile"));
    }

    #[test]
    fn what_cannot_be_tried_is_refused_and_leaves_nothing_behind() {
        let store = Embedded::new("memory".into());
        let mut configuration =
            Harness::configuration(Box::new(store), Local::in_memory(10).unwrap());
        configuration.load().unwrap();
        for (changes, why) in [
            (vec![], "change nothing"),
            (vec![("routes/a", None)], "Key not found"),
            (vec![("routes/a", Some(json!({"uri": 5})))], "invalid configuration"),
            (vec![("routes/a", Some(json!({"uri": "/a", "upstream_id": "x"})))], "x"),
            (vec![("routes/a", Some(json!({"uri": "/a", "script": "return 1 + 1"})))], "Lua"),
            (vec![("ssls/a", Some(json!({})))], "shards"),
        ] {
            match begin(&mut configuration, &changes) {
                Err(CanaryError::Refused(refused)) => {
                    assert!(refused.to_string().contains(why), "{refused}");
                }
                other => panic!("{why}: {other:?}"),
            }
        }
        assert!(uris(&configuration).is_empty());
        assert!(configuration.canaries().last().is_none());
        let (reply, mut answer) = oneshot::channel();
        configuration.ask(Ask::End(None, "x".into(), reply));
        assert!(matches!(answer.try_recv().unwrap(), Err(CanaryError::None)));
        let changes = [("routes/a", Some(json!({"uri": "/a", "plugins": {}})))];
        assert_eq!(begin(&mut configuration, &changes).unwrap().number, 1);
        let (reply, mut answer) = oneshot::channel();
        configuration.ask(Ask::End(Some(7), "x".into(), reply));
        assert!(matches!(answer.try_recv().unwrap(), Err(CanaryError::None)), "another one");
        configuration.canary_is_over();
        let ended = configuration.canaries().last().unwrap();
        assert_eq!(ended.reason.as_deref(), Some("its time is over"));
    }
}
