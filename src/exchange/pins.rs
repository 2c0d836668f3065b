//! What a policy must pin, so that nobody else's workflow has a token that matches it.

use super::claims::Pin;

/// What each token is checked for anyway.
const CHECKED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

const GITHUB: [&str; 23] = [
    "actor",
    "actor_id",
    "base_ref",
    "check_run_id",
    "enterprise",
    "enterprise_id",
    "environment",
    "event_name",
    "head_ref",
    "job_workflow_ref",
    "job_workflow_sha",
    "ref",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_id",
    "runner_environment",
    "workflow",
    "workflow_ref",
];

/// Beside those that GitHub has, too.
const GITLAB: [&str; 12] = [
    "ci_config_ref_uri",
    "ci_config_sha",
    "environment_protected",
    "namespace_id",
    "namespace_path",
    "pipeline_id",
    "pipeline_source",
    "project_id",
    "project_path",
    "project_visibility",
    "ref_path",
    "user_login",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GitHub,
    GitLab,
    Other,
}

impl Kind {
    /// By the issuer, or else by the claims: an installation of one's own has another address and the same claims.
    fn of(issuer: &str, pins: &[Pin]) -> Self {
        let rest = issuer.split_once("://").map_or("", |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host == "token.actions.githubusercontent.com"
            || (host.starts_with("token.actions.") && host.ends_with(".ghe.com"))
            || path == "_services/token"
        {
            return Self::GitHub;
        }
        if host == "gitlab.com" {
            return Self::GitLab;
        }
        let any_of = |names: &[&str]| pins.iter().any(|pin| names.iter().any(|name| pin.is_of(name)));
        let subject = |start: &str| {
            pins.iter()
                .any(|pin| pin.is_of("sub") && pin.value.starts_with(start))
        };
        if any_of(&GITLAB) || subject("project_path:") {
            Self::GitLab
        } else if any_of(&GITHUB) || subject("repo:") {
            Self::GitHub
        } else {
            Self::Other
        }
    }
}

/// What is wrong with the pins of a policy.
pub(super) fn complaints(issuer: &str, pins: &[Pin]) -> Vec<String> {
    let mut complaints: Vec<String> = pins.iter().filter_map(complaint).collect();
    let pinned = |claim: &str| pins.iter().any(|pin| pin.is_of(claim));
    match Kind::of(issuer, pins) {
        Kind::GitHub => {
            for id in ["repository_id", "repository_owner_id"] {
                complaints.extend(id_complaint(pins, id));
            }
            if !["environment", "ref", "job_workflow_ref"].into_iter().any(pinned) {
                complaints.push("claims must pin one of environment, ref and job_workflow_ref: any branch of the repository would match".to_owned());
            }
        }
        Kind::GitLab => {
            for id in ["project_id", "namespace_id"] {
                complaints.extend(id_complaint(pins, id));
            }
            let protected = |what: &str| pins.iter().any(|pin| pin.is_of(what) && pin.value == "true");
            // Whoever can push a branch can write a job for an environment that is not protected.
            let environment = pinned("environment") && protected("environment_protected");
            if pinned("ref") && !pinned("ref_type") {
                complaints.push(
                    "claims must pin ref_type beside ref: a tag can be called as a branch is".to_owned(),
                );
            } else if !environment && !pinned("ref") && !protected("ref_protected") {
                complaints.push("claims must pin one of environment with environment_protected = \"true\", ref_protected = \"true\", and ref with ref_type: any branch of the project would match".to_owned());
            }
        }
        Kind::Other if pins.is_empty() => complaints.push(
            "claims must pin at least one claim, such as sub: any token of the issuer would match".to_owned(),
        ),
        Kind::Other => {}
    }
    complaints
}

/// What is wrong with one of them.
fn complaint(pin: &Pin) -> Option<String> {
    if CHECKED.iter().any(|checked| pin.is_of(checked)) {
        return Some(format!("claims must not pin {pin}, which is checked by itself"));
    }
    if pin.value.contains('*') {
        return Some(format!(
            "claims.{pin} has a * in it: a claim matches to the letter, and nothing is a pattern"
        ));
    }
    pin.value
        .trim()
        .is_empty()
        .then(|| format!("claims.{pin} is empty"))
}

fn id_complaint(pins: &[Pin], id: &str) -> Option<String> {
    match pins.iter().find(|pin| pin.is_of(id)) {
        None => Some(format!(
            "claims must pin {id}: names are given to others once they are free, and ids are not"
        )),
        Some(pin) if pin.value.is_empty() || !pin.value.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("claims.{id} is not an id, which has digits only"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(pinned: &[(&str, &str)]) -> Vec<Pin> {
        let pin = |(name, value): &(&str, &str)| Pin {
            path: vec![(*name).to_owned()],
            value: (*value).to_owned(),
        };
        pinned.iter().map(pin).collect()
    }

    const GITHUB_COM: &str = "https://token.actions.githubusercontent.com";
    const ANYWHERE: &str = "http://127.0.0.1:1234";
    const IDS: [(&str, &str); 2] = [("repository_id", "1001"), ("repository_owner_id", "2002")];
    const PROJECT: [(&str, &str); 2] = [("project_id", "22"), ("namespace_id", "72")];

    #[test]
    fn enough_is_ids_and_what_only_the_trusted_can_reach() {
        for issuer in [GITHUB_COM, "https://ghe.example/_services/token", ANYWHERE] {
            for more in [
                ("environment", "production"),
                ("ref", "refs/heads/main"),
                ("job_workflow_ref", "o/r/.github/workflows/d.yml@refs/heads/main"),
            ] {
                assert_eq!(
                    complaints(issuer, &pins(&[IDS[0], IDS[1], more])),
                    [""; 0],
                    "{issuer}"
                );
            }
        }
        for issuer in ["https://gitlab.com", ANYWHERE] {
            for more in [
                &[("environment", "production"), ("environment_protected", "true")][..],
                &[("ref_protected", "true")],
                &[("ref", "main"), ("ref_type", "branch")],
            ] {
                assert_eq!(
                    complaints(issuer, &pins(&[&PROJECT, more].concat())),
                    [""; 0],
                    "{more:?}"
                );
            }
        }
        let account = [("sub", "system:serviceaccount:prod:deployer")];
        assert_eq!(
            complaints("https://kubernetes.default.svc", &pins(&account)),
            [""; 0]
        );
    }

    #[test]
    fn too_little_is_told() {
        let branch = ("ref", "refs/heads/main");
        for (issuer, pinned, told) in [
            (GITHUB_COM, &[][..], "repository_id"),
            (
                GITHUB_COM,
                &[("sub", "repo:octo/app:ref:refs/heads/main")],
                "repository_id",
            ),
            (
                ANYWHERE,
                &[("sub", "repo:octo/app:ref:refs/heads/main")],
                "repository_id",
            ),
            (ANYWHERE, &[("repository", "octo/app"), branch], "repository_id"),
            (ANYWHERE, &[IDS[0], branch], "repository_owner_id"),
            (ANYWHERE, &[IDS[1], branch], "repository_id"),
            (ANYWHERE, &[branch], "repository_id"),
            (ANYWHERE, &IDS, "environment"),
            (ANYWHERE, &[IDS[0], IDS[1], ("actor_id", "1")], "environment"),
            (
                ANYWHERE,
                &[("repository_id", "octo/app"), IDS[1], branch],
                "digits",
            ),
            (
                ANYWHERE,
                &[IDS[0], ("repository_owner_id", "*"), branch],
                "pattern",
            ),
            (ANYWHERE, &[IDS[0], IDS[1], ("ref", "refs/heads/*")], "pattern"),
            (ANYWHERE, &[IDS[0], IDS[1], ("ref", " ")], "empty"),
            (
                "https://gitlab.com",
                &[("sub", "project_path:g/p:ref_type:branch:ref:main")],
                "project_id",
            ),
            (
                ANYWHERE,
                &[("project_path", "g/p"), ("ref", "main"), ("ref_type", "branch")],
                "project_id",
            ),
            (ANYWHERE, &[PROJECT[0], PROJECT[1], ("ref", "main")], "ref_type"),
            (ANYWHERE, &PROJECT, "environment"),
            (
                "https://gitlab.com",
                &[PROJECT[0], PROJECT[1], ("environment", "production")],
                "environment_protected",
            ),
            (
                "https://gitlab.com",
                &[PROJECT[0], PROJECT[1], ("environment_protected", "true")],
                "environment with",
            ),
            (
                ANYWHERE,
                &[PROJECT[0], PROJECT[1], ("ref_protected", "false")],
                "environment",
            ),
            (ANYWHERE, &[], "at least one"),
            (ANYWHERE, &[("iss", "x")], "checked by itself"),
            (
                ANYWHERE,
                &[("sub", "system:serviceaccount:*:deployer")],
                "pattern",
            ),
        ] {
            let complaints = complaints(issuer, &pins(pinned));
            assert!(
                complaints.iter().any(|complaint| complaint.contains(told)),
                "{pinned:?}: {complaints:?}"
            );
        }
    }
}
