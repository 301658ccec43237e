/* Kata configuration: the TOML file that tells the shim which virtual machine to start.
 *
 *   platform    settings of the node's configuration     file below the runtime's folder
 *   *-CLH-SNP   igvm, image, ...                          etc/configuration-clh-snp.toml
 *   *-QEMU-SNP  kernel, initrd, image, firmware, ...      etc/configuration-qemu-snp.toml
 *
 * The bytes depend on the settings and the handler's name alone. Values that are part of the launch
 * measurement (kernel parameters, guest policy) come from the settings, never from the host.
 * Pure. Source of the keys: Kata Containers, configuration-clh.toml and configuration-qemu-snp.toml
 * of the runtime, and the forks of it that know `igvm`.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KATA_CONFIG_H
#define CONTRAST_KATA_CONFIG_H

#include "lib/base/bytes.h"

enum kata_hypervisor { KATA_CLH, KATA_QEMU };

struct kata_platform {
    const char *name; /* "Metal-QEMU-SNP"; compared without regard to case */
    enum kata_hypervisor hypervisor;
    bool has_gpu;     /* pods may get devices by CDI */
    bool has_tardev;  /* layers come through the tardev snapshotter */
    unsigned memory;  /* default_memory, MiB */
    unsigned timeout; /* create_container_timeout, s */
};

/* NULL when there is none of that name. */
const struct kata_platform *kata_platform_find(const char *name);
/* All names, comma separated, appended: for errors. */
void kata_platform_names(struct buf *out);

/* Paths are relative to the runtime's folder; "" = not used. Texts are borrowed. */
struct kata_settings {
    const char *path; /* of the hypervisor */
    const char *igvm;
    const char *kernel;
    const char *initrd;
    const char *image;
    const char *firmware;
    const char *rootfs_type;
    const char *kernel_params;
    const char *kernel_verity_params;
    const char *snp_id_block; /* base64 */
    const char *snp_id_auth;
    uint64_t snp_guest_policy;
    unsigned default_vcpus;
    unsigned default_memory;           /* MiB */
    unsigned dial_timeout;             /* s */
    unsigned create_container_timeout; /* s */
    bool is_guest_pull;
    bool is_debug;
};

/* What a platform has unless the configuration says otherwise. */
struct kata_settings kata_settings_default(const struct kata_platform *platform);

/* "etc/configuration-clh-snp.toml" */
const char *kata_config_path(const struct kata_platform *platform);

/* Appends the file for a runtime in `base` ("/opt/edgeless/<handler>"). */
void kata_config_make(const struct kata_platform *platform, const struct kata_settings *settings,
                      const char *base, struct buf *out);

#endif
