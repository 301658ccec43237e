/* Kata configuration: one table of platforms, one writer per hypervisor.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/kata_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define POLICY_SMT                                                                                 \
    UINT64_C(0x30000) /* SMT allowed and the bit that is always one: ABI, table 9                  \
                       */

static const struct kata_platform PLATFORMS[] = {
    {"AKS-CLH-SNP", KATA_CLH, false, true, 256, 60},
    {"Metal-CLH-SNP", KATA_CLH, false, true, 256, 60},
    {"Metal-QEMU-SNP", KATA_QEMU, false, false, 512, 120},
    {"Metal-QEMU-SNP-GPU", KATA_QEMU, true, false, 1024, 600},
    {"K3s-QEMU-SNP", KATA_QEMU, false, false, 512, 120},
    {"K3s-QEMU-SNP-GPU", KATA_QEMU, true, false, 1024, 600},
    {"RKE2-QEMU-SNP", KATA_QEMU, false, false, 512, 120},
};
#define PLATFORM_COUNT (sizeof PLATFORMS / sizeof PLATFORMS[0])

const struct kata_platform *kata_platform_find(const char *name) {
    for (size_t i = 0; i < PLATFORM_COUNT; i++) {
        if (strcasecmp(PLATFORMS[i].name, name) == 0) {
            return &PLATFORMS[i];
        }
    }
    return NULL;
}

void kata_platform_names(struct buf *out) {
    for (size_t i = 0; i < PLATFORM_COUNT; i++) {
        buf_appendf(out, "%s%s", i > 0 ? ", " : "", PLATFORMS[i].name);
    }
}

struct kata_settings kata_settings_default(const struct kata_platform *platform) {
    bool is_clh = platform->hypervisor == KATA_CLH;
    return (struct kata_settings){
        .path = is_clh ? "bin/cloud-hypervisor-snp" : "bin/qemu-system-x86_64",
        .igvm = is_clh ? "share/kata-containers-igvm.img" : "",
        .kernel = is_clh ? "" : "share/kata-kernel",
        .initrd = is_clh ? "" : "share/kata-initrd.zst",
        .image = "share/kata-containers.img",
        .firmware = is_clh ? "" : "snp/share/OVMF.fd",
        .rootfs_type = is_clh ? "ext4" : "erofs",
        .kernel_params = "",
        .kernel_verity_params = "",
        .snp_id_block = "",
        .snp_id_auth = "",
        .snp_guest_policy = POLICY_SMT,
        .default_vcpus = 1,
        .default_memory = platform->memory,
        .dial_timeout = is_clh ? 90 : 120,
        .create_container_timeout = platform->timeout,
        .is_guest_pull = !platform->has_tardev,
    };
}

const char *kata_config_path(const struct kata_platform *platform) {
    return platform->hypervisor == KATA_CLH ? "etc/configuration-clh-snp.toml"
                                            : "etc/configuration-qemu-snp.toml";
}

/* --- TOML 1.0 pieces */

static void append_text(struct buf *out, const char *text) {
    buf_append_str(out, "\"");
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            buf_appendf(out, "\\%c", *p);
        } else if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            buf_appendf(out, "\\u%04x", (unsigned)*p);
        } else {
            buf_append(out, p, 1);
        }
    }
    buf_append_str(out, "\"");
}

static void put_text(struct buf *out, const char *key, const char *text) {
    buf_appendf(out, "%s = ", key);
    append_text(out, text);
    buf_append_str(out, "\n");
}

static void put_number(struct buf *out, const char *key, uint64_t n) {
    buf_appendf(out, "%s = %" PRIu64 "\n", key, n);
}

static void put_bool(struct buf *out, const char *key, bool b) {
    buf_appendf(out, "%s = %s\n", key, b ? "true" : "false");
}

/* A file of the runtime; nothing for "". */
static void put_file(struct buf *out, const char *key, const char *base, const char *path) {
    if (path[0] == '\0') {
        return;
    }
    AUTO(buf_deinit)
    struct buf whole = {0};
    buf_appendf(&whole, "%s/%s", base, path);
    put_text(out, key, buf_cstr(&whole));
}

/* --- Tables */

static void put_machine(struct buf *out, const struct kata_settings *s, const char *base) {
    put_file(out, "path", base, s->path);
    put_file(out, "igvm", base, s->igvm);
    put_file(out, "kernel", base, s->kernel);
    put_file(out, "initrd", base, s->initrd);
    put_file(out, "image", base, s->image);
    put_file(out, "firmware", base, s->firmware);
    put_text(out, "rootfs_type", s->rootfs_type);
    buf_append_str(out, "valid_hypervisor_paths = [");
    AUTO(buf_deinit)
    struct buf whole = {0};
    buf_appendf(&whole, "%s/%s", base, s->path);
    append_text(out, buf_cstr(&whole));
    buf_append_str(out, "]\n");
    put_bool(out, "confidential_guest", true);
    put_bool(out, "sev_snp_guest", true);
    put_number(out, "snp_guest_policy", s->snp_guest_policy);
    put_text(out, "shared_fs", "none");
    put_text(out, "kernel_params", s->kernel_params);
    put_number(out, "default_vcpus", s->default_vcpus);
    put_number(out, "default_maxvcpus", 0);
    put_number(out, "default_memory", s->default_memory);
    put_bool(out, "enable_debug", s->is_debug);
}

static void put_clh(struct buf *out, const struct kata_settings *s, const char *base) {
    buf_append_str(out, "[hypervisor.clh]\n");
    put_machine(out, s, base);
    put_text(out, "block_device_driver", "virtio-blk");
    put_bool(out, "disable_guest_selinux", true);
    put_bool(out, "disable_image_nvdimm", true);
    buf_append_str(out, "enable_annotations = []\n");
}

static void put_qemu(struct buf *out, const struct kata_settings *s, const char *base) {
    buf_append_str(out, "[hypervisor.qemu]\n");
    put_machine(out, s, base);
    put_text(out, "kernel_verity_params", s->kernel_verity_params);
    if (s->snp_id_block[0] != '\0') {
        put_text(out, "snp_id_block", s->snp_id_block);
        put_text(out, "snp_id_auth", s->snp_id_auth);
    }
    put_text(out, "machine_type", "q35");
    put_text(out, "cpu_features", "pmu=off");
    put_number(out, "memory_slots", 10);
    put_number(out, "default_maxmemory", 0);
    put_text(out, "block_device_driver", "virtio-scsi");
    put_text(out, "block_device_aio", "threads");
    put_bool(out, "disable_block_device_use", false);
    put_bool(out, "disable_image_nvdimm", true);
    buf_append_str(out, "enable_annotations = [\"cc_init_data\", \"snp_id_block\", "
                        "\"snp_id_auth\", \"snp_guest_policy\"]\n");
}

static void put_runtime(struct buf *out, const struct kata_platform *p,
                        const struct kata_settings *s) {
    bool is_clh = p->hypervisor == KATA_CLH;
    buf_append_str(out, "\n[agent.kata]\n");
    put_number(out, "dial_timeout", s->dial_timeout);
    put_bool(out, "enable_debug", s->is_debug);
    buf_append_str(out, "\n[runtime]\n");
    put_bool(out, "enable_debug", s->is_debug);
    put_text(out, "internetworking_model", "tcfilter");
    put_bool(out, "disable_guest_seccomp", true);
    put_bool(out, "disable_guest_empty_dir", is_clh);
    put_bool(out, "sandbox_cgroup_only", true);
    put_bool(out, "static_sandbox_resource_mgmt", true);
    put_number(out, "create_container_timeout", s->create_container_timeout);
    put_text(out, "vfio_mode", "guest-kernel");
    if (!is_clh) {
        put_bool(out, "experimental_force_guest_pull", s->is_guest_pull);
        put_text(out, "emptydir_mode", "shared-fs");
    }
}

void kata_config_make(const struct kata_platform *platform, const struct kata_settings *settings,
                      const char *base, struct buf *out) {
    buf_append_str(out, "# Written by contrast-node-installer; the next run overwrites changes.\n");
    if (platform->hypervisor == KATA_CLH) {
        put_clh(out, settings, base);
    } else {
        put_qemu(out, settings, base);
    }
    put_runtime(out, platform, settings);
}
