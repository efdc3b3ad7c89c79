//! What the API's description says of each route. The table of routes knows method, path, operationId and scope; this
//! adds what only people know, and which wire types go in and out.

use secrets_proto::approval::{
    Approval, ApprovalList, ApprovalRule, ApprovalRuleList, AskUnlock, Decision, Guard, ItemApprovalRule,
    MAX_WAIT, NewApprovalRule, NewItemApprovalRule, SetGuard,
};
use secrets_proto::audit::{ArchiveAudit, AuditArchived, AuditList, AuditVerified};
use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList};
use secrets_proto::fleet::{
    BeginFleet, ChangeFilter, ConfirmInvitation, ConflictList, CreateMachineKey, FleetMerge, FleetStatus,
    Invitation, JoinByKey, JoinFleet, KeptLocal, MachineKey, MachineRemoved, RenameMachine, ResolveConflict,
    SetLocal,
};
use secrets_proto::item::{
    Collection, CreateItem, Item, ItemChanges, ItemList, ItemTrash, ItemVersionList, PatchCollection,
    PatchItem, RevealedItem, SearchItems, UpdateItemValue,
};
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::rule::{RuleList, SetRules};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, PresetList, RollbackRequest, SameList, Secret, SecretDetail,
    SecretList, TrashList, UpdateSecret, VersionList, WriteSecrets, WrittenSecret,
};
use secrets_proto::session::{BeginSession, Session};
use secrets_proto::token::{CreateToken, CreatedToken, TokenList};
use secrets_proto::vault::{
    AddKeyReply, AddKeyRequest, InitReply, InitRequest, KeyList, RemoveKeyRequest, RotateReply,
    UnlockRequest, VaultStatus, VerifyReply, VerifyRequest,
};
use serde_json::json;

use super::document::{Documented, Parameter, op};

/// One entry a route, found by its operationId.
#[rustfmt::skip]
pub(super) fn operations() -> Vec<Documented> {
    let if_match = Parameter::header("If-Match", "Only if the secret is at this version, like `\"3\"`, or at one of several, like `\"3\", \"4\"`; otherwise 409.", json!({ "type": "string", "pattern": "^(\"[0-9]{1,19}\"(, \"[0-9]{1,19}\")*|\\*)$" }));
    let if_none_match = Parameter::header("If-None-Match", "The `ETag` of what the caller has already.", json!({ "type": "string" }));
    let view = Parameter::query("view", "Whether more than the six fields are wanted.", json!({ "type": "string", "enum": ["basic", "full"] }));
    let written = Parameter::query("view", "Whether more than the six fields are wanted, and warnings of a name that shells or programs give a meaning.", json!({ "type": "string", "enum": ["basic", "full"] }));
    let edited = Parameter::query("view", "`basic`: the six fields alone; `full`: warnings, too, of a name that shells or programs give a meaning.", json!({ "type": "string", "enum": ["basic", "full"] }));
    let wait = Parameter::query("wait", "For how many seconds a change is waited for.", json!({ "type": "integer", "minimum": 0, "maximum": MAX_WAIT }));
    vec![
        op("health", "Tells that the daemon answers")
            .fixed(200, "It does.", json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } })),
        op("get_openapi", "Gives this description")
            .takes(&if_none_match)
            .fixed(200, "An OpenAPI document.", json!({ "type": "object" })).with("ETag")
            .empty(304, "The caller has it.").with("ETag"),

        op("list_secrets", "Lists secrets by name: metadata and masks, never values")
            .takes(&Parameter::query("provider", "Only those of this provider.", json!({ "$ref": "#/components/schemas/Provider" })))
            .takes(&Parameter::query("name", "Only those whose names match this glob.", json!({ "$ref": "#/components/schemas/Glob" })))
            .takes(&view).takes(&if_none_match)
            .replies_either::<SecretList<Secret>, SecretList<SecretDetail>>(200, "The secrets; with `view=full` in full.").may_have("ETag")
            .empty(304, "The list is as the caller has it.").with("ETag"),
        op("create_secret", "Stores a new secret")
            .takes(&written)
            .body::<CreateSecret>(json!({ "name": "OPENAI_API_KEY", "value": "sk-proj-0123456789abcdef0123", "provider": "openai" }))
            .replies_either::<Secret, WrittenSecret>(201, "It is stored; with `view=full` in full.").with("ETag").with("Location")
            .fails(&[409]),
        op("write_secrets", "Stores many secrets in one transaction, all or none")
            .body::<WriteSecrets>(json!({ "secrets": [{ "name": "OPENAI_API_KEY", "value": "sk-proj-0123456789abcdef0123", "provider": "openai" }, { "name": "DATABASE_URL", "value": "postgres://localhost/app", "replace": true }] }))
            .replies::<SecretList<Secret>>(200, "All are stored, in the order of the request.")
            .fails(&[409]),
        op("get_provider_presets", "Lists well-known providers and which of their secrets are there")
            .replies::<PresetList>(200, "The presets."),
        op("create_secret_from_preset", "Stores a new secret under the name that a provider's tools read")
            .takes(&written)
            .body::<CreateFromPreset>(json!({ "provider": "openai", "value": "sk-proj-0123456789abcdef0123" }))
            .replies_either::<Secret, WrittenSecret>(201, "It is stored; with `view=full` in full.").with("ETag").with("Location")
            .fails(&[409]),
        op("get_secret", "Describes one secret, never its value")
            .takes(&view).takes(&if_none_match)
            .replies_either::<Secret, SecretDetail>(200, "The secret; with `view=full` in full.").with("ETag")
            .empty(304, "The secret is as the caller has it.").with("ETag"),
        op("update_secret", "Gives a secret a new value")
            .takes(&written)
            .takes(&if_match)
            .body::<UpdateSecret>(json!({ "value": "sk-proj-0123456789abcdef0123" }))
            .replies_either::<Secret, WrittenSecret>(200, "It has the new value; with `view=full` in full.").may_have("ETag")
            .fails(&[409]),
        op("edit_secret", "Changes a secret's metadata; what is absent stays, null clears")
            .takes(&edited)
            .takes(&if_match)
            .body::<PatchSecret>(json!({ "note": "billing account", "expires_at": "2027-01-01T00:00:00Z" }))
            .replies_either::<Secret, WrittenSecret>(200, "It is changed; it is described in full unless `view=basic`.").may_have("ETag")
            .fails(&[409]),
        op("delete_secret", "Moves a secret to the trash, or destroys it")
            .takes(&Parameter::query("purge", "Whether to destroy it with all its versions, also out of the trash.", json!({ "type": "boolean" })))
            .takes(&if_match)
            .empty(204, "It is gone.")
            .fails(&[409]),
        op("reveal_secrets", "Hands values over, all or none, and notes it in the audit log first")
            .body::<RevealRequest>(json!({ "secrets": ["OPENAI_API_KEY", "AWS_*"], "purpose": "run", "command": "npm" }))
            .replies::<RevealReply>(200, "The values, in order of first appearance.")
            .fails(&[404]),
        op("find_same", "Lists the other secrets with the same value, and notes it in the audit log first")
            .replies::<SameList>(200, "The others, by name."),
        op("list_versions", "Lists the versions of a secret's value, masked")
            .replies::<VersionList>(200, "The versions, newest first."),
        op("drop_version", "Destroys an earlier value of a secret")
            .takes(&Parameter::query("version", "A version that `versions` lists, and not the present one.", json!({ "type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_u64 })).required())
            .takes(&if_match)
            .empty(204, "It is gone.")
            .fails(&[409]),
        op("rollback_secret", "Makes an earlier value the present one")
            .takes(&written)
            .takes(&if_match)
            .body::<RollbackRequest>(json!({ "version": 3 }))
            .replies_either::<Secret, WrittenSecret>(200, "It has the earlier value; with `view=full` in full.").may_have("ETag")
            .fails(&[409]),
        op("list_trash", "Lists deleted secrets")
            .replies::<TrashList>(200, "The deleted secrets, newest first."),
        op("restore_secret", "Takes a secret out of the trash")
            .takes(&written)
            .replies_either::<Secret, WrittenSecret>(200, "It is back; with `view=full` in full.").may_have("ETag")
            .fails(&[409]),

        op("get_rules", "Tells where a secret's value may be used without being seen")
            .replies::<RuleList>(200, "The rules that hold.").with("ETag"),
        op("set_rules", "Sets where a secret's value may be used without being seen")
            .takes(&if_match)
            .body::<SetRules>(json!({ "rules": [{ "host": "api.example.com", "methods": ["GET", "POST"], "paths": ["/v1/**"], "except": ["/v1/keys/**"], "site": "bearer" }] }))
            .replies::<RuleList>(200, "The rules that hold now.").with("ETag")
            .fails(&[409]),

        op("get_vault", "Tells the vault's state")
            .replies::<VaultStatus>(200, "The state."),
        op("init_vault", "Makes the vault and opens it")
            .body::<InitRequest>(json!({ "passphrase": "correct horse battery staple" }))
            .replies::<InitReply>(201, "It is made; the recovery key is shown this once.")
            .fails(&[409, 502]),
        op("unlock_vault", "Opens the vault")
            .body::<UnlockRequest>(json!({ "passphrase": "correct horse battery staple" }))
            .replies::<VaultStatus>(200, "It is open.")
            .fails(&[409, 502]),
        op("lock_vault", "Closes the vault; when this is answered, no key and no value is left in memory")
            .replies::<VaultStatus>(200, "It is closed."),
        op("verify_vault", "Reads and authenticates everything in the vault")
            .body::<VerifyRequest>(json!({}))
            .replies::<VerifyReply>(200, "All of it is as it was written."),
        op("backup_vault", "Gives a verified copy of the encrypted vault")
            .binary(200, "An SQLite database that a key of the vault opens."),
        op("rotate_vault", "Seals everything again under a new data key, which the given key opens")
            .body::<InitRequest>(json!({ "passphrase": "correct horse battery staple" }))
            .replies::<RotateReply>(200, "It is done; the recovery key is shown this once.")
            .fails(&[409, 502]),
        op("list_keys", "Lists what opens the vault, never the keys themselves")
            .replies::<KeyList>(200, "The key slots, oldest first."),
        op("add_key", "Adds a key that opens the vault, or puts it in another's place")
            .body::<AddKeyRequest>(json!({ "passphrase": "correct horse battery staple" }))
            .replies::<AddKeyReply>(201, "It is added.")
            .fails(&[404, 409, 502]),
        op("confirm_key", "Notes that a recovery key was shown, so that it is not listed as unconfirmed")
            .empty(204, "It is noted."),
        op("remove_key", "Removes a key; the last one stays")
            .may_have_body::<RemoveKeyRequest>(json!({}))
            .empty(204, "It is gone.")
            .fails(&[409]),

        op("list_tokens", "Lists access tokens, never the tokens themselves")
            .replies::<TokenList>(200, "The tokens."),
        op("create_token", "Makes an access token with scopes, names and an end of its own")
            .body::<CreateToken>(json!({ "name": "ci", "scopes": ["list", "reveal"], "secrets": ["CI_*"], "ttl_seconds": 86_400 }))
            .replies::<CreatedToken>(201, "It is made; the token is shown this once.").with("Location")
            .fails(&[409]),
        op("revoke_token", "Revokes an access token")
            .empty(204, "It is gone."),

        op("get_fleet", "Tells of the machines that have the vault, and of secrets with several values")
            .replies::<FleetStatus>(200, "The fleet, if the vault belongs to one."),
        op("begin_fleet", "Makes a fleet of this one machine")
            .body::<BeginFleet>(json!({ "name": "laptop", "directory": "/home/me/Sync/secrets" }))
            .replies::<FleetStatus>(201, "It is made.")
            .fails(&[409]),
        op("list_conflicts", "Lists the secrets that several machines gave different values, masked")
            .replies::<ConflictList>(200, "The secrets, with these values."),
        op("resolve_conflict", "Settles on one of the values that several machines gave a secret")
            .takes(&written)
            .body::<ResolveConflict>(json!({ "version": 3 }))
            .replies_either::<Secret, WrittenSecret>(200, "It has that value; with `view=full` in full.").may_have("ETag")
            .fails(&[404]),
        op("rename_machine", "Gives a machine another name")
            .body::<RenameMachine>(json!({ "name": "desktop" }))
            .replies::<FleetStatus>(200, "It is renamed.")
            .fails(&[404, 409, 502]),
        op("keep_machine", "Says that of two machines that removed each other this one is kept")
            .replies::<FleetStatus>(200, "The other one is out.")
            .fails(&[404, 409, 502]),
        op("change_filter", "Says for all machines that names like this travel, or do not, or takes that back")
            .body::<ChangeFilter>(json!({ "list": "exclude", "glob": "DEV_*" }))
            .replies::<FleetStatus>(200, "It is said.")
            .fails(&[404, 409]),
        op("merge_fleet", "Says what is new here, and merges what other machines have said")
            .replies::<FleetMerge>(200, "What was changed.")
            .fails(&[404]),
        op("join_fleet", "Answers an invitation, by the code that another machine has shown")
            .body::<JoinFleet>(json!({ "code": "4T9K-Q2ZM-71AB", "name": "desktop", "directory": "/home/me/Sync/secrets" }))
            .replies::<Invitation>(201, "It is answered; there are words to compare once the other machine has read it.")
            .fails(&[409]),
        op("create_machine_key", "Makes a key that is a machine: one on paper, or one for a CI that reads alone")
            .body::<CreateMachineKey>(json!({ "name": "paper", "role": "paper" }))
            .replies::<MachineKey>(201, "The key is shown this once.")
            .fails(&[404, 409, 429, 502]),
        op("join_by_key", "Makes this vault one of the machines, by such a key")
            .body::<JoinByKey>(json!({ "key": "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-63ED", "role": "paper", "name": "desktop", "directory": "/home/me/Sync/secrets" }))
            .replies::<FleetStatus>(201, "It is one of them.")
            .fails(&[409, 429, 502]),
        op("invite_machine", "Lets a machine in that knows the code in the answer")
            .replies::<Invitation>(201, "The code is shown this once.")
            .fails(&[404]),
        op("get_invitation", "Tells how far a machine is let in")
            .replies::<Invitation>(200, "How far it is.")
            .fails(&[409]),
        op("confirm_invitation", "Says whether the words are the same on both machines")
            .body::<ConfirmInvitation>(json!({ "accept": true }))
            .replies::<Invitation>(200, "It is done, or ended.")
            .fails(&[409, 504]),
        op("remove_machine", "Removes a machine; the others get a new key")
            .replies::<MachineRemoved>(200, "What the machine had, and may still have."),

        op("begin_session", "Begins a session in which the values of some secrets are used and never seen")
            .body::<BeginSession>(json!({ "secrets": ["OPENAI_API_KEY"], "ttl_seconds": 3_600, "purpose": "run", "command": "agent" }))
            .replies::<Session>(201, "It is begun; its token is shown this once.").with("Location")
            .fails(&[404, 409]),
        op("end_session", "Ends a session")
            .empty(204, "It is over.")
            .fails(&[404]),

        op("list_credentials", "Lists which systemd units may load which secrets")
            .replies::<CredentialList>(200, "The units."),
        op("allow_credentials", "Adds to what a systemd unit may load")
            .body::<AllowCredentials>(json!({ "unit": "web.service", "secrets": ["DATABASE_URL"] }))
            .replies::<CredentialGrant>(200, "What the unit may load now.")
            .fails(&[404, 409]),
        op("revoke_credentials", "Takes one secret from what a systemd unit may load, or all")
            .takes(&Parameter::query("unit", "The unit.", json!({ "$ref": "#/components/schemas/UnitName" })).required())
            .takes(&Parameter::query("name", "The secret; all unless given.", json!({ "$ref": "#/components/schemas/SecretName" })))
            .empty(204, "It may not load it any more.")
            .fails(&[404]),

        op("set_guard", "Turns a secret's guard on, or off with a proof")
            .body::<SetGuard>(json!({ "guarded": true }))
            .replies::<Guard>(200, "Whether it is guarded now, and what weakens that.")
            .fails(&[409]),
        op("set_local", "Keeps a secret on this machine, or lets it travel again; a guarded one with a proof")
            .body::<SetLocal>(json!({ "local": true }))
            .replies::<KeptLocal>(200, "Whether it stays now, and who has what was sent before."),
        op("list_approvals", "Lists what waits for a person; a client that waits here hears of changes, and is counted")
            .takes(&wait)
            .takes(&Parameter::query("after", "The number of `changes` of an earlier answer: it is answered at once if something has changed since.", json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })))
            .replies::<ApprovalList>(200, "The open asks, the oldest first."),
        op("ask_unlock", "Asks the person who answers asks to open the vault")
            .body::<AskUnlock>(json!({ "right": "unlock" }))
            .replies::<Approval>(201, "It waits.")
            .fails(&[409]),
        op("get_approval", "Tells how an ask stands, to the token that has asked and to who may answer")
            .takes(&wait)
            .replies::<Approval>(200, "The ask."),
        op("decide_approval", "Answers an ask; to allow takes a proof")
            .body::<Decision>(json!({ "decision": "allow", "scope": "session", "proof": { "passphrase": "correct horse battery staple" } }))
            .replies::<Approval>(200, "It is answered.")
            .fails(&[409]),
        op("list_approval_rules", "Lists who may have or change guarded secrets, and who may not")
            .replies::<ApprovalRuleList>(200, "The rules, by name of the secret."),
        op("add_approval_rule", "Makes an approval rule; one that allows takes a proof")
            .body::<NewApprovalRule>(json!({ "effect": "deny", "secret": "OPENAI_API_KEY", "rights": ["reveal"], "client": { "token": "owner", "program": "/usr/bin/agent" } }))
            .replies::<ApprovalRule>(201, "It is made.")
            .fails(&[404, 409]),
        op("remove_approval_rule", "Removes an approval rule: a person is asked again")
            .empty(204, "It is gone."),

        op("search_items", "Finds items by their attributes, the newest change first; never their values")
            .body::<SearchItems>(json!({ "attributes": { "service": "example.com", "username": "me" } }))
            .replies::<ItemList>(200, "The items that have at least these attributes."),
        op("create_item", "Stores an item, or replaces the one that has exactly its attributes")
            .body::<CreateItem>(json!({ "label": "Password for me at example.com", "attributes": { "service": "example.com", "username": "me" }, "content_type": "text/plain", "value_base64": "aHVudGVyMg==", "replace": true }))
            .replies::<Item>(200, "The one that has exactly these attributes has a new version.").with("ETag")
            .replies::<Item>(201, "It is stored.").with("ETag").with("Location"),
        op("list_item_trash", "Lists deleted items")
            .replies::<ItemTrash>(200, "The deleted items, newest first."),
        op("get_collection", "Describes what holds all items")
            .replies::<Collection>(200, "The collection."),
        op("label_collection", "Gives what holds all items another label")
            .body::<PatchCollection>(json!({ "label": "Login" }))
            .replies::<Collection>(200, "The collection."),
        op("watch_items", "Tells whether the vault is open, and waits for changes of that and of items")
            .takes(&wait)
            .takes(&Parameter::query("after", "The number of `changes` of an earlier answer: it is answered at once if something has changed since.", json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })))
            .replies::<ItemChanges>(200, "How it is now."),
        op("get_item", "Describes one item, never its value")
            .takes(&if_none_match)
            .replies::<Item>(200, "The item.").may_have("ETag")
            .empty(304, "The item is as the caller has it.").with("ETag"),
        op("edit_item", "Changes an item's label or attributes; what is absent stays")
            .takes(&if_match)
            .body::<PatchItem>(json!({ "label": "Password for me at example.com" }))
            .replies::<Item>(200, "It is changed.").may_have("ETag")
            .fails(&[409]),
        op("delete_item", "Moves an item to the trash, or destroys it")
            .takes(&Parameter::query("purge", "Whether to destroy it with all its versions, also out of the trash.", json!({ "type": "boolean" })))
            .takes(&if_match)
            .empty(204, "It is gone.")
            .fails(&[409]),
        op("update_item", "Gives an item a new value")
            .takes(&if_match)
            .body::<UpdateItemValue>(json!({ "content_type": "text/plain", "value_base64": "aHVudGVyMg==" }))
            .replies::<Item>(200, "It has the new value.").may_have("ETag")
            .fails(&[409]),
        op("reveal_item", "Hands an item's value over, and notes it in the audit log first")
            .replies::<RevealedItem>(200, "The value."),
        op("restore_item", "Takes an item out of the trash")
            .replies::<Item>(200, "It is back.").may_have("ETag")
            .fails(&[422]),
        op("list_item_versions", "Lists the versions of an item's value, never the values")
            .replies::<ItemVersionList>(200, "The versions, newest first."),
        op("set_item_guard", "Turns an item's guard on, or off with a proof")
            .body::<SetGuard>(json!({ "guarded": true }))
            .replies::<Guard>(200, "Whether it is guarded now, and what weakens that.")
            .fails(&[409]),

        op("add_item_approval_rule", "Makes an approval rule on an item; one that allows takes a proof")
            .body::<NewItemApprovalRule>(json!({ "effect": "deny", "rights": ["reveal"], "client": { "token": "items", "program": "/usr/bin/agent" } }))
            .replies::<ItemApprovalRule>(201, "It is made.")
            .fails(&[404, 409]),

        op("list_audit", "Lists who did what to which secrets")
            .takes(&Parameter::query("since", "Only entries of this time or later.", json!({ "$ref": "#/components/schemas/Timestamp" })))
            .takes(&Parameter::query("limit", "How many entries at most; 100 unless given.", json!({ "type": "integer", "minimum": 1, "maximum": 1000 })))
            .takes(&Parameter::query("name", "Only entries about this secret.", json!({ "$ref": "#/components/schemas/SecretName" })))
            .takes(&Parameter::query("session", "Only entries of this session: who has begun and ended it, and what it has used.", json!({ "type": "string", "format": "uuid" })))
            .takes(&Parameter::query("before", "Only entries before that with this number.", json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX })))
            .replies::<AuditList>(200, "The entries, newest last."),
        op("verify_audit", "Follows the audit log's chain from its first entry to its head")
            .replies::<AuditVerified>(200, "It is as it was written."),
        op("archive_audit", "Takes the audit log's oldest entries out of the vault, for a caller that has them in a file")
            .body::<ArchiveAudit>(json!({ "through": 1000 }))
            .replies::<AuditArchived>(200, "They are gone; later entries stay chained on them.")
            .fails(&[404]),
    ]
}
