/* contrast measure ovmf: see cmd_measure.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "attest/launch/launch_file.h"
#include "attest/launch/ovmf_launch.h"
#include "cli/cmd_measure.h"
#include "cli/image_reference.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"

#define FOUR_GIB (UINT64_C(1) << 32)

const char CMD_MEASURE_OVMF_HELP[] =
    "Usage: contrast measure ovmf FILE --vcpus N [OPTION]...\n\n"
    "Computes the launch digest of a guest that starts from an OVMF firmware image. It depends on\n"
    "all that stands here; a wrong number of vCPUs or CPU model gives a digest of no guest.\n\n"
    "  --vcpus N            number of vCPUs\n"
    "  --vcpu-type NAME     CPU model of QEMU: EPYC-v4, EPYC-Milan, EPYC-Genoa, EPYC-Turin, ...\n"
    "  --vcpu-sig N         or what the guest sees in CPUID leaf 1, EAX\n"
    "  --vcpu-family N --vcpu-model N --vcpu-stepping N\n"
    "                       or these three; QEMU needs one of the forms, ec2 and gce none\n"
    "  --vmm qemu|ec2|gce   hypervisor (default qemu)\n"
    "  --guest-features N   SEV features (default 0x1; 0x21 where KVM has debug_swap on)\n"
    "  --kernel FILE [--initrd FILE] [--append TEXT]\n"
    "                       what QEMU boots directly; without a kernel: from a disk\n"
    "  --ovmf-hash HEX      digest of the firmware's pages alone, in place of FILE's own pages\n"
    "  --svsm FILE          COCONUT-SVSM in front of the firmware\n"
    "  --vars-size N        with --svsm: bytes of the variable store between the two (default "
    "0)\n\n"
    "Examples:\n"
    "  contrast measure ovmf OVMF.fd --vcpus 2 --vcpu-type EPYC-Milan\n"
    "  contrast measure ovmf OVMF.fd --vcpus 1 --vcpu-type EPYC-v4 --kernel vmlinuz \\\n"
    "      --initrd initrd.img --append 'console=ttyS0'\n"
    "  contrast measure ovmf ovmf_img.fd --vcpus 1 --vmm ec2 --output json\n";

struct request {
    const char *vcpu_type;
    const char *vcpu_sig;
    const char *family;
    const char *model;
    const char *stepping;
    const char *features;
    const char *kernel_path;
    const char *initrd_path;
    const char *append;
    const char *vmm;
    const char *ovmf_hash;
    const char *svsm_path;
    const char *vars_size;
    const char *vcpus;
    struct cli_list paths;
    struct buf image_bytes; /* owned, like the next */
    struct buf svsm_bytes;
    struct ovmf image;
    struct ovmf svsm;
    struct ovmf_kernel kernel;
    uint8_t image_digest[LAUNCH_DIGEST_SIZE];
    struct ovmf_launch launch;
};

static void request_deinit(struct request *q) {
    buf_deinit(&q->image_bytes);
    buf_deinit(&q->svsm_bytes);
}

static RESULT parse(struct cli *cli, int argc, char **argv, struct request *q, struct err *err) {
    const struct cli_option options[] = {
        {"vcpus", 0, CLI_STRING, (void *)&q->vcpus},
        {"vcpu-type", 0, CLI_STRING, (void *)&q->vcpu_type},
        {"vcpu-sig", 0, CLI_STRING, (void *)&q->vcpu_sig},
        {"vcpu-family", 0, CLI_STRING, (void *)&q->family},
        {"vcpu-model", 0, CLI_STRING, (void *)&q->model},
        {"vcpu-stepping", 0, CLI_STRING, (void *)&q->stepping},
        {"guest-features", 0, CLI_STRING, (void *)&q->features},
        {"kernel", 0, CLI_STRING, (void *)&q->kernel_path},
        {"initrd", 0, CLI_STRING, (void *)&q->initrd_path},
        {"append", 0, CLI_STRING, (void *)&q->append},
        {"vmm", 0, CLI_STRING, (void *)&q->vmm},
        {"ovmf-hash", 0, CLI_STRING, (void *)&q->ovmf_hash},
        {"svsm", 0, CLI_STRING, (void *)&q->svsm_path},
        {"vars-size", 0, CLI_STRING, (void *)&q->vars_size},
    };
    TRY(cli_parse(cli, options, sizeof options / sizeof options[0], argc, argv, &q->paths, err));
    ENSURE(q->paths.count == 1, err, USAGE, "name one firmware image; see --help");
    ENSURE(q->vcpus != NULL, err, USAGE, "--vcpus is missing: the digest depends on their number");
    ENSURE(q->kernel_path != NULL || (q->initrd_path == NULL && q->append == NULL), err, USAGE,
           "--initrd and --append need --kernel: without it the firmware boots from a disk");
    ENSURE(q->svsm_path != NULL || q->vars_size == NULL, err, USAGE,
           "--vars-size needs --svsm: without it the place of the variables counts for nothing");
    return OK;
}

/* ---- the CPU ---- */

static RESULT choose_cpu(struct request *q, struct err *err) {
    bool has_triple = q->family != NULL || q->model != NULL || q->stepping != NULL;
    unsigned forms =
        (unsigned)(q->vcpu_type != NULL) + (unsigned)(q->vcpu_sig != NULL) + (unsigned)has_triple;
    ENSURE(forms <= 1, err, USAGE, "--vcpu-type, --vcpu-sig and --vcpu-family exclude one another");
    ENSURE(forms == 1 || q->launch.vmsa.vmm != VMSA_QEMU, err, USAGE,
           "--vcpu-type is missing (or --vcpu-sig): under QEMU the CPU model is measured");
    uint64_t signature = 0;
    TRY(cmd_measure_number("vcpu-sig", q->vcpu_sig, UINT32_MAX, &signature, err));
    q->launch.vmsa.cpu_signature = (uint32_t)signature;
    if (q->vcpu_type != NULL) {
        return vmsa_cpu_find(q->vcpu_type, &q->launch.vmsa.cpu_signature, err);
    }
    if (!has_triple) {
        return OK;
    }
    ENSURE(q->family != NULL && q->model != NULL && q->stepping != NULL, err, USAGE,
           "--vcpu-family, --vcpu-model and --vcpu-stepping belong together");
    uint64_t family = 0;
    uint64_t model = 0;
    uint64_t stepping = 0;
    TRY(cmd_measure_number("vcpu-family", q->family, 0xF + 0xFF, &family, err));
    TRY(cmd_measure_number("vcpu-model", q->model, 0xFF, &model, err));
    TRY(cmd_measure_number("vcpu-stepping", q->stepping, 0xF, &stepping, err));
    q->launch.vmsa.cpu_signature =
        vmsa_cpu_signature((uint32_t)family, (uint32_t)model, (uint32_t)stepping);
    return OK;
}

/* ---- the files ---- */

static RESULT read_image(const char *path, uint64_t end_gpa, struct buf *bytes, struct ovmf *out,
                         struct err *err) {
    TRY(file_read(path, LIMIT_OVMF, bytes, err));
    return image_reference_blame(ovmf_parse(buf_span(bytes), end_gpa, out, err), err, path);
}

static RESULT read_svsm(struct request *q, struct err *err) {
    uint64_t vars = 0;
    TRY(cmd_measure_number("vars-size", q->vars_size, q->image.gpa, &vars, err));
    ENSURE(vars % LAUNCH_PAGE_SIZE == 0, err, USAGE, "--vars-size: want a multiple of 4096");
    TRY(read_image(q->svsm_path, q->image.gpa - vars, &q->svsm_bytes, &q->svsm, err));
    q->launch.svsm = &q->svsm;
    return OK;
}

/* As QEMU passes them: no initrd is an empty one, and the command line has its NUL. */
static RESULT hash_kernel(struct request *q, struct err *err) {
    const char *append = q->append != NULL ? q->append : "";
    TRY(launch_file_sha256(q->kernel_path, q->kernel.kernel, err));
    if (q->initrd_path != NULL) {
        TRY(launch_file_sha256(q->initrd_path, q->kernel.initrd, err));
    } else {
        sha256(span_of(NULL, 0), q->kernel.initrd);
    }
    sha256(span_of(append, strlen(append) + 1), q->kernel.cmdline);
    q->launch.kernel = &q->kernel;
    return OK;
}

static RESULT prepare(struct request *q, struct err *err) {
    uint64_t vcpus = 0;
    uint64_t features = 1;
    TRY(cmd_measure_number("vcpus", q->vcpus, LIMIT_LAUNCH_VCPUS, &vcpus, err));
    ENSURE(vcpus >= 1, err, USAGE, "--vcpus: want 1 to %d", LIMIT_LAUNCH_VCPUS);
    TRY(cmd_measure_number("guest-features", q->features, UINT64_MAX, &features, err));
    q->launch.vcpus = (uint32_t)vcpus;
    q->launch.vmsa.sev_features = features;
    if (q->vmm != NULL) {
        TRY(vmsa_vmm_find(q->vmm, &q->launch.vmsa.vmm, err));
    }
    TRY(choose_cpu(q, err));
    TRY(read_image(q->paths.items[0], FOUR_GIB, &q->image_bytes, &q->image, err));
    if (q->svsm_path != NULL) {
        TRY(read_svsm(q, err));
    }
    if (q->kernel_path != NULL) {
        TRY(hash_kernel(q, err));
    }
    if (q->ovmf_hash != NULL) {
        TRY(cmd_measure_hex("ovmf-hash", q->ovmf_hash, q->image_digest, sizeof q->image_digest,
                            err));
        q->launch.image_digest = q->image_digest;
    }
    return OK;
}

/* ---- the answer ---- */

static RESULT add_ec2(struct request *q, json_t *document, json_t *warnings, struct err *err) {
    struct launch_digest other;
    q->launch.vmsa.vmm = VMSA_EC2_RDX_ZERO;
    TRY(ovmf_launch_digest(&q->image, &q->launch, &other, err));
    char text[2 * LAUNCH_DIGEST_SIZE + 1];
    hex_encode(SPAN(other.value), text);
    cmd_measure_put_hex(document, "ec2_rdx_zero_digest", SPAN(other.value));
    json_array_append_new(
        warnings,
        json_sprintf("EC2: sev-snp-measure takes rdx 0x600 for a new vCPU, as this digest "
                     "does; the Rust crate sev takes 0 and gets %s. Compare with a report "
                     "of your own instance",
                     text));
    return OK;
}

static RESULT answer(struct request *q, json_t *document, json_t *warnings, struct err *err) {
    struct launch_digest digest;
    TRY(ovmf_launch_digest(&q->image, &q->launch, &digest, err));
    cmd_measure_put_hex(document, "launch_digest", SPAN(digest.value));
    json_object_set_new(document, "vcpus", json_integer(q->launch.vcpus));
    if (q->launch.vmsa.vmm == VMSA_QEMU) {
        cmd_measure_put_number(document, "vcpu_sig", q->launch.vmsa.cpu_signature);
    }
    uint64_t features = q->svsm_path != NULL ? VMSA_SVSM_FEATURES : q->launch.vmsa.sev_features;
    cmd_measure_put_number(document, "guest_features", features);
    if (features != q->launch.vmsa.sev_features) {
        json_array_append_new(warnings,
                              json_sprintf("--guest-features counts for nothing with --svsm: an "
                                           "SVSM is started with 0x%x",
                                           VMSA_SVSM_FEATURES));
    }
    struct launch_digest image = {{0}};
    launch_digest_add_image(&image, q->image.gpa, q->image.image);
    cmd_measure_put_hex(document, "ovmf_hash",
                        q->ovmf_hash != NULL ? SPAN(q->image_digest) : SPAN(image.value));
    if (q->image.section_count == 0 && q->svsm_path == NULL) {
        json_array_append_new(warnings, json_string("the image has no SEV metadata: it was built "
                                                    "before SEV-SNP, and will not start under it"));
    }
    return q->launch.vmsa.vmm == VMSA_EC2 ? add_ec2(q, document, warnings, err) : OK;
}

RESULT cmd_measure_ovmf(struct cli *cli, int argc, char **argv, struct err *err) {
    AUTO(request_deinit)
    struct request q = {.launch = {.vmsa = {.vmm = VMSA_QEMU}}};
    TRY(parse(cli, argc, argv, &q, err));
    TRY(prepare(&q, err));
    json_t *document = json_object();
    json_t *warnings = json_array();
    struct result r = answer(&q, document, warnings, err);
    json_object_set_new(document, "warnings", warnings);
    if (!is_ok(r)) {
        json_decref(document);
        return r;
    }
    cmd_measure_print(cli, document);
    return OK;
}
