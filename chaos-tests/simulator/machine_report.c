/* Machine reports: what the firmware says about a guest, signed by the VCEK (AMD 56860 table 23).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>

#include "attest/snp_certtable.h"
#include "attest/snp_product.h"
#include "attest/snp_report.h"
#include "chaos-tests/simulator/machine.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

#define PLATFORM_INFO 0x25 /* SMT on, ECC memory, alias check complete */
#define FIRMWARE_BUILD 1
#define FIRMWARE_MINOR 55
#define FIRMWARE_MAJOR 1
#define MIT_VECTOR_TURIN 0x3F
#define SCALAR_SIZE 48 /* r or s of P-384 */

struct cpuid {
    uint8_t family;
    uint8_t model;
    uint8_t stepping;
};

static struct cpuid cpuid_of(enum snp_product product) {
    switch (product) {
    case SNP_MILAN:
        return (struct cpuid){0x19, 0x01, 0x01};
    case SNP_GENOA:
        return (struct cpuid){0x19, 0x11, 0x01};
    case SNP_TURIN:
        return (struct cpuid){0x1A, 0x02, 0x01};
    case SNP_PRODUCT_UNKNOWN:
        break;
    }
    return (struct cpuid){0}; /* machine_product_parse lets none through */
}

static void fill_machine(const struct machine *m, struct snp_report *report) {
    struct cpuid cpuid = cpuid_of(m->product);
    bool is_turin = m->product == SNP_TURIN;
    report->version = is_turin ? 5 : 3;
    report->cpuid_family = cpuid.family;
    report->cpuid_model = cpuid.model;
    report->cpuid_stepping = cpuid.stepping;
    report->launch_mit_vector = is_turin ? MIT_VECTOR_TURIN : 0;
    report->current_mit_vector = report->launch_mit_vector;
    report->platform_info = PLATFORM_INFO;
    report->current_firmware =
        (struct snp_firmware){FIRMWARE_BUILD, FIRMWARE_MINOR, FIRMWARE_MAJOR};
    report->committed_firmware = report->current_firmware;
    memcpy(report->chip_id, m->chip_id, sizeof report->chip_id);
    snp_tcb_encode(m->product, &m->tcb, report->current_tcb);
    memcpy(report->reported_tcb, report->current_tcb, sizeof report->current_tcb);
    memcpy(report->committed_tcb, report->current_tcb, sizeof report->current_tcb);
    memcpy(report->launch_tcb, report->current_tcb, sizeof report->current_tcb);
}

static void fill_guest(const struct machine_guest *guest, const uint8_t *report_data,
                       struct snp_report *report) {
    report->guest_svn = guest->guest_svn;
    report->policy = guest->policy;
    memcpy(report->family_id, guest->family_id, sizeof report->family_id);
    memcpy(report->image_id, guest->image_id, sizeof report->image_id);
    report->vmpl = 0;
    report->signature_algo = SNP_SIGNATURE_ECDSA_P384_SHA384;
    memcpy(report->report_data, report_data, sizeof report->report_data);
    memcpy(report->measurement, guest->measurement, sizeof report->measurement);
    memcpy(report->host_data, guest->host_data, sizeof report->host_data);
    memcpy(report->report_id, guest->report_id, sizeof report->report_id);
    memset(report->report_id_ma, 0xFF, sizeof report->report_id_ma);
}

/* From DER (RFC 3279) to the two little-endian numbers of a report. */
static RESULT split(struct span der, struct snp_report *report, struct err *err) {
    const unsigned char *at = der.data;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der.size);
    bool is_split =
        signature != NULL &&
        BN_bn2lebinpad(ECDSA_SIG_get0_r(signature), report->r, SCALAR_SIZE) == SCALAR_SIZE &&
        BN_bn2lebinpad(ECDSA_SIG_get0_s(signature), report->s, SCALAR_SIZE) == SCALAR_SIZE;
    ECDSA_SIG_free(signature);
    ENSURE(is_split, err, INTERNAL, "the signature is not one of P-384");
    return OK;
}

struct result machine_report(const struct machine *m, const struct machine_guest *guest,
                             const uint8_t *report_data, struct buf *out, struct err *err) {
    struct snp_report report = {0};
    uint8_t bytes[SNP_REPORT_SIZE];
    AUTO(buf_deinit)
    struct buf signature = {0};
    fill_machine(m, &report);
    fill_guest(guest, report_data, &report);
    snp_report_encode(&report, bytes);
    TRY(key_sign(&m->vcek, span_of(bytes, SNP_REPORT_SIGNED_SIZE), &signature, err));
    TRY(split(buf_span(&signature), &report, err));
    snp_report_encode(&report, bytes);
    buf_append(out, bytes, sizeof bytes);
    return OK;
}

void machine_guest_init(const struct machine *m, const uint8_t host_data[MACHINE_HOST_DATA_SIZE],
                        struct machine_guest *out) {
    *out = (struct machine_guest){.policy = SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT};
    memcpy(out->host_data, host_data, sizeof out->host_data);
    memcpy(out->measurement, m->measurement, sizeof out->measurement);
    host_random(&host_system, out->report_id, sizeof out->report_id);
}

void machine_certtable(const struct machine *m, struct buf *out) {
    struct snp_certtable table = {
        .vcek = buf_span(&m->vek_der), .ask = buf_span(&m->ask_der), .ark = buf_span(&m->ark_der)};
    snp_certtable_encode(&table, out);
}
