/* API: the tables of api.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/api.h"

#include "lib/base/limits.h"

#define API_TEXT 1024                             /* bytes of a sentence */
#define API_WORD 256                              /* bytes of a name or a value */
#define API_EVIDENCE (LIMIT_EVIDENCE + LIMIT_CRL) /* what attest_evidence_encode may give */

#define TYPE(name) const struct wire_type name##_type = WIRE_TYPE(struct name, name##_fields)

const struct wire_type api_empty_type = {"struct api_empty", sizeof(struct api_empty), NULL, 0};

static const struct wire_field api_error_fields[] = {
    WIRE_U64(struct api_error, code),
    WIRE_STR(struct api_error, text, API_TEXT),
    WIRE_U64(struct api_error, retry_after_ms),
    WIRE_STR(struct api_error, verdict_code, API_WORD),
    WIRE_STR(struct api_error, field, API_WORD),
    WIRE_STR(struct api_error, expected, API_TEXT),
    WIRE_STR(struct api_error, actual, API_TEXT),
    WIRE_STR(struct api_error, remedy, API_TEXT),
};
TYPE(api_error);

static const struct wire_field api_history_fields[] = {
    WIRE_U64(struct api_history, from),
};
TYPE(api_history);

static const struct wire_field api_record_fields[] = {
    WIRE_BYTES(struct api_record, manifest, LIMIT_MANIFEST_SET),
    WIRE_BYTES(struct api_record, spki, LIMIT_SPKI),
    WIRE_BYTES(struct api_record, signature, LIMIT_SIGNATURE),
};
static TYPE(api_record);

static const struct wire_field api_history_reply_fields[] = {
    WIRE_FIXED(struct api_history_reply, cluster),
    WIRE_U64(struct api_history_reply, epoch),
    WIRE_U64(struct api_history_reply, generation),
    WIRE_U64(struct api_history_reply, from),
    WIRE_LIST(struct api_history_reply, records, LIMIT_HISTORY, &api_record_type),
    WIRE_STR(struct api_history_reply, root_ca_pem, LIMIT_PEM),
    WIRE_STR(struct api_history_reply, mesh_ca_pem, LIMIT_PEM),
};
TYPE(api_history_reply);

static const struct wire_field api_policy_fields[] = {
    WIRE_FIXED(struct api_policy, hash),
};
TYPE(api_policy);

static const struct wire_field api_policy_reply_fields[] = {
    WIRE_BYTES(struct api_policy_reply, policy, LIMIT_POLICY),
};
TYPE(api_policy_reply);

static const struct wire_field api_member_fields[] = {
    WIRE_U64(struct api_member, id),
    WIRE_STR(struct api_member, name, LIMIT_NAME),
    WIRE_STR(struct api_member, address, LIMIT_ADDRESS),
    WIRE_STR(struct api_member, role, API_WORD),
    WIRE_BOOL(struct api_member, is_connected),
    WIRE_U64(struct api_member, match_index),
    WIRE_U64(struct api_member, last_contact_ms),
    WIRE_U64(struct api_member, lag),
    WIRE_U64(struct api_member, version),
    WIRE_STR(struct api_member, product, API_WORD),
    WIRE_FIXED(struct api_member, measurement),
    WIRE_FIXED(struct api_member, chip_id),
    WIRE_FIXED(struct api_member, tcb),
    WIRE_BOOL(struct api_member, may_stop),
    WIRE_STR(struct api_member, may_stop_why, API_TEXT),
};
static TYPE(api_member);

static const struct wire_field api_alarm_fields[] = {
    WIRE_U64(struct api_alarm, id),
    WIRE_STR(struct api_alarm, name, LIMIT_NAME),
    WIRE_STR(struct api_alarm, by, LIMIT_NAME),
    WIRE_STR(struct api_alarm, code, API_WORD),
    WIRE_STR(struct api_alarm, text, API_TEXT),
    WIRE_I64(struct api_alarm, time),
};
static TYPE(api_alarm);

static const struct wire_field api_status_reply_fields[] = {
    WIRE_STR(struct api_status_reply, state, API_WORD),
    WIRE_STR(struct api_status_reply, why, API_TEXT),
    WIRE_STR(struct api_status_reply, name, LIMIT_NAME),
    WIRE_U64(struct api_status_reply, id),
    WIRE_U64(struct api_status_reply, leader),
    WIRE_U64(struct api_status_reply, term),
    WIRE_U64(struct api_status_reply, commit_index),
    WIRE_U64(struct api_status_reply, applied_index),
    WIRE_FIXED(struct api_status_reply, cluster),
    WIRE_U64(struct api_status_reply, epoch),
    WIRE_U64(struct api_status_reply, generation),
    WIRE_FIXED(struct api_status_reply, head),
    WIRE_U64(struct api_status_reply, ledger_size),
    WIRE_FIXED(struct api_status_reply, ledger_root),
    WIRE_U64(struct api_status_reply, voters),
    WIRE_U64(struct api_status_reply, voters_connected),
    WIRE_BOOL(struct api_status_reply, is_confirmed),
    WIRE_BOOL(struct api_status_reply, may_stop),
    WIRE_STR(struct api_status_reply, may_stop_why, API_TEXT),
    WIRE_U64(struct api_status_reply, level),
    WIRE_U64(struct api_status_reply, version),
    WIRE_U64(struct api_status_reply, last_term),
    WIRE_U64(struct api_status_reply, last_index),
    WIRE_LIST(struct api_status_reply, members, LIMIT_MEMBERS, &api_member_type),
    WIRE_LIST(struct api_status_reply, alarms, LIMIT_ALARMS, &api_alarm_type),
};
TYPE(api_status_reply);

static const struct wire_field api_prepare_fields[] = {
    WIRE_BYTES(struct api_prepare, manifest, LIMIT_MANIFEST_SET),
    WIRE_U64(struct api_prepare, replicas),
};
TYPE(api_prepare);

static const struct wire_field api_founder_fields[] = {
    WIRE_U64(struct api_founder, id),
    WIRE_STR(struct api_founder, name, LIMIT_NAME),
    WIRE_STR(struct api_founder, address, LIMIT_ADDRESS),
    WIRE_BYTES(struct api_founder, spki, LIMIT_SPKI),
};
static TYPE(api_founder);

static const struct wire_field api_prepare_reply_fields[] = {
    WIRE_FIXED(struct api_prepare_reply, cluster),
    WIRE_LIST(struct api_prepare_reply, founders, LIMIT_VOTERS, &api_founder_type),
};
TYPE(api_prepare_reply);

static const struct wire_field api_commit_fields[] = {
    WIRE_FIXED(struct api_commit, cluster),
    WIRE_BYTES(struct api_commit, manifest, LIMIT_MANIFEST_SET),
    WIRE_BYTES(struct api_commit, spki, LIMIT_SPKI),
    WIRE_BYTES(struct api_commit, signature, LIMIT_SIGNATURE),
};
TYPE(api_commit);

static const struct wire_field api_set_fields[] = {
    WIRE_BYTES(struct api_set, manifest, LIMIT_MANIFEST_SET),
    WIRE_FIXED(struct api_set, previous),
    WIRE_BYTES(struct api_set, spki, LIMIT_SPKI),
    WIRE_BYTES(struct api_set, signature, LIMIT_SIGNATURE),
};
TYPE(api_set);

static const struct wire_field api_hash_fields[] = {
    WIRE_FIXED(struct api_hash, hash),
};
static TYPE(api_hash);

static const struct wire_field api_need_fields[] = {
    WIRE_LIST(struct api_need, hashes, LIMIT_POLICIES, &api_hash_type),
};
TYPE(api_need);

static const struct wire_field api_put_policy_fields[] = {
    WIRE_BYTES(struct api_put_policy, policy, LIMIT_POLICY),
};
TYPE(api_put_policy);

static const struct wire_field api_set_reply_fields[] = {
    WIRE_FIXED(struct api_set_reply, transition),
    WIRE_U64(struct api_set_reply, generation),
    WIRE_BOOL(struct api_set_reply, already),
    WIRE_STR(struct api_set_reply, root_ca_pem, LIMIT_PEM),
    WIRE_STR(struct api_set_reply, mesh_ca_pem, LIMIT_PEM),
};
TYPE(api_set_reply);

static const struct wire_field api_checkpoint_fields[] = {
    WIRE_FIXED(struct api_checkpoint, file_id),
    WIRE_U64(struct api_checkpoint, offset),
};
TYPE(api_checkpoint);

static const struct wire_field api_checkpoint_reply_fields[] = {
    WIRE_FIXED(struct api_checkpoint_reply, file_id),
    WIRE_U64(struct api_checkpoint_reply, size),
    WIRE_U64(struct api_checkpoint_reply, offset),
    WIRE_BYTES(struct api_checkpoint_reply, data, LIMIT_CHECKPOINT_PIECE),
};
TYPE(api_checkpoint_reply);

static const struct wire_field api_recover_fields[] = {
    WIRE_U8(struct api_recover, mode),
    WIRE_U64(struct api_recover, epoch),
    WIRE_BYTES(struct api_recover, header, LIMIT_CHECKPOINT_HEADER),
    WIRE_U64(struct api_recover, size),
};
TYPE(api_recover);

static const struct wire_field api_recover_data_fields[] = {
    WIRE_FIXED(struct api_recover_data, session),
    WIRE_U64(struct api_recover_data, offset),
    WIRE_BYTES(struct api_recover_data, data, LIMIT_CHECKPOINT_PIECE),
};
TYPE(api_recover_data);

static const struct wire_field api_recover_show_fields[] = {
    WIRE_FIXED(struct api_recover_show, session),
};
TYPE(api_recover_show);

static const struct wire_field api_recover_give_fields[] = {
    WIRE_FIXED(struct api_recover_give, session),
    WIRE_BYTES(struct api_recover_give, key, LIMIT_PKCS1),
    WIRE_BYTES(struct api_recover_give, share, LIMIT_SHARE),
    WIRE_BYTES(struct api_recover_give, signature, LIMIT_RSA_SIGNATURE),
};
TYPE(api_recover_give);

static const struct wire_field api_recover_owner_fields[] = {
    WIRE_FIXED(struct api_recover_owner, digest),
    WIRE_BOOL(struct api_recover_owner, has_given),
};
static TYPE(api_recover_owner);

static const struct wire_field api_recover_reply_fields[] = {
    WIRE_FIXED(struct api_recover_reply, session),
    WIRE_U8(struct api_recover_reply, mode),
    WIRE_FIXED(struct api_recover_reply, cluster),
    WIRE_U64(struct api_recover_reply, epoch),
    WIRE_U64(struct api_recover_reply, previous_epoch),
    WIRE_U64(struct api_recover_reply, generation),
    WIRE_FIXED(struct api_recover_reply, head),
    WIRE_U64(struct api_recover_reply, index),
    WIRE_U64(struct api_recover_reply, ledger_size),
    WIRE_FIXED(struct api_recover_reply, ledger_root),
    WIRE_FIXED(struct api_recover_reply, recipient),
    WIRE_U64(struct api_recover_reply, last_term),
    WIRE_U64(struct api_recover_reply, threshold),
    WIRE_BYTES(struct api_recover_reply, header, LIMIT_CHECKPOINT_HEADER),
    WIRE_U64(struct api_recover_reply, received),
    WIRE_U64(struct api_recover_reply, size),
    WIRE_LIST(struct api_recover_reply, owners, LIMIT_SHARE_OWNERS, &api_recover_owner_type),
    WIRE_STR(struct api_recover_reply, state, API_WORD),
    WIRE_STR(struct api_recover_reply, why, API_TEXT),
    WIRE_U64(struct api_recover_reply, expires_ms),
};
TYPE(api_recover_reply);

static const struct wire_field api_recoveries_fields[] = {
    WIRE_U64(struct api_recoveries, from),
};
TYPE(api_recoveries);

static const struct wire_field api_recovery_signature_fields[] = {
    WIRE_BYTES(struct api_recovery_signature, key, LIMIT_PKCS1),
    WIRE_BYTES(struct api_recovery_signature, signature, LIMIT_RSA_SIGNATURE),
};
static TYPE(api_recovery_signature);

static const struct wire_field api_recovery_fields[] = {
    WIRE_FIXED(struct api_recovery, cluster),
    WIRE_U64(struct api_recovery, epoch),
    WIRE_U64(struct api_recovery, previous_epoch),
    WIRE_U8(struct api_recovery, mode),
    WIRE_U64(struct api_recovery, generation),
    WIRE_FIXED(struct api_recovery, head),
    WIRE_U64(struct api_recovery, index),
    WIRE_U64(struct api_recovery, ledger_size),
    WIRE_FIXED(struct api_recovery, ledger_root),
    WIRE_FIXED(struct api_recovery, recipient),
    WIRE_LIST(struct api_recovery, signatures, LIMIT_SHARE_OWNERS, &api_recovery_signature_type),
};
static TYPE(api_recovery);

static const struct wire_field api_recoveries_reply_fields[] = {
    WIRE_U64(struct api_recoveries_reply, count),
    WIRE_U64(struct api_recoveries_reply, from),
    WIRE_LIST(struct api_recoveries_reply, items, LIMIT_EPOCHS, &api_recovery_type),
};
TYPE(api_recoveries_reply);

static const struct wire_field api_retire_fields[] = {
    WIRE_U64(struct api_retire, id),
    WIRE_BYTES(struct api_retire, spki, LIMIT_SPKI),
    WIRE_BYTES(struct api_retire, signature, LIMIT_SIGNATURE),
};
TYPE(api_retire);

static const struct wire_field api_retire_reply_fields[] = {
    WIRE_U64(struct api_retire_reply, index),
    WIRE_BOOL(struct api_retire_reply, already),
};
TYPE(api_retire_reply);

static const struct wire_field api_certificate_reply_fields[] = {
    WIRE_STR(struct api_certificate_reply, chain_pem, 2 * LIMIT_PEM),
    WIRE_STR(struct api_certificate_reply, mesh_ca_pem, LIMIT_PEM),
    WIRE_STR(struct api_certificate_reply, root_ca_pem, LIMIT_PEM),
    WIRE_BYTES(struct api_certificate_reply, workload_secret, 32),
    WIRE_U64(struct api_certificate_reply, generation),
    WIRE_U64(struct api_certificate_reply, issue_index),
    WIRE_FIXED(struct api_certificate_reply, serial),
    WIRE_I64(struct api_certificate_reply, not_after),
};
TYPE(api_certificate_reply);

static const struct wire_field api_join_fields[] = {
    WIRE_STR(struct api_join, name, LIMIT_NAME),
    WIRE_STR(struct api_join, address, LIMIT_ADDRESS),
    WIRE_U64(struct api_join, version),
    WIRE_BYTES(struct api_join, evidence, API_EVIDENCE),
};
TYPE(api_join);

static const struct wire_field api_join_reply_fields[] = {
    WIRE_BYTES(struct api_join_reply, found, LIMIT_ENTRY),
    WIRE_LIST(struct api_join_reply, members, LIMIT_MEMBERS, &api_founder_type),
};
TYPE(api_join_reply);

static const struct wire_field api_found_prepare_fields[] = {
    WIRE_BYTES(struct api_found_prepare, manifest, LIMIT_MANIFEST_SET),
    WIRE_U64(struct api_found_prepare, replicas),
};
TYPE(api_found_prepare);

static const struct wire_field api_found_prepared_fields[] = {
    WIRE_U64(struct api_found_prepared, id),
    WIRE_STR(struct api_found_prepared, name, LIMIT_NAME),
    WIRE_STR(struct api_found_prepared, address, LIMIT_ADDRESS),
    WIRE_BYTES(struct api_found_prepared, spki, LIMIT_SPKI),
    WIRE_U64(struct api_found_prepared, version),
    WIRE_BYTES(struct api_found_prepared, evidence, API_EVIDENCE),
};
TYPE(api_found_prepared);

static const struct wire_field api_found_start_fields[] = {
    WIRE_BYTES(struct api_found_start, found, LIMIT_ENTRY),
    WIRE_BYTES(struct api_found_start, manifest, LIMIT_MANIFEST_SET),
    WIRE_BYTES(struct api_found_start, spki, LIMIT_SPKI),
    WIRE_BYTES(struct api_found_start, signature, LIMIT_SIGNATURE),
};
TYPE(api_found_start);

static const struct wire_field api_restart_look_fields[] = {
    WIRE_FIXED(struct api_restart_look, cluster),
};
TYPE(api_restart_look);

static const struct wire_field api_restart_offer_fields[] = {
    WIRE_FIXED(struct api_restart_offer, digest),   WIRE_U64(struct api_restart_offer, epoch),
    WIRE_U64(struct api_restart_offer, generation), WIRE_U64(struct api_restart_offer, index),
    WIRE_FIXED(struct api_restart_offer, head),     WIRE_FIXED(struct api_restart_offer, voters),
    WIRE_U8(struct api_restart_offer, x),           WIRE_U64(struct api_restart_offer, armed),
    WIRE_U64(struct api_restart_offer, armed_for),
};
static TYPE(api_restart_offer);

static const struct wire_field api_restart_standing_fields[] = {
    WIRE_LIST(struct api_restart_standing, offers, LIMIT_RESTART_FILES, &api_restart_offer_type),
};
TYPE(api_restart_standing);

static const struct wire_field api_restart_give_fields[] = {
    WIRE_FIXED(struct api_restart_give, digest),
    WIRE_U64(struct api_restart_give, epoch),
    WIRE_BYTES(struct api_restart_give, share, LIMIT_SHARE),
};
TYPE(api_restart_give);
