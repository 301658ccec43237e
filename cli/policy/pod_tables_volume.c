/* Pod tables: volumes. What the kubelet mounts on the node comes into the guest as a copy of its
 * files, made when the container is created: right for configuration, wrong for what others change.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/pod_tables.h"

#define CONTENTS "what stands in it is the host's: docs/policy.md"
#define COPIED                                                                                     \
    "the node reads it, and a guest without a shared file system gets a copy of its files when "   \
    "the container starts: what the pod writes is lost with it; use volumeDevices (volumeMode: "   \
    "Block) and encrypt in the pod"
#define SHARED(way)                                                                                \
    "a file system of others, of which the node would copy the files once: nobody sees "           \
    "changes; " way
#define IN_POD "connect to the server from a program in the pod"
#define READ_ONLY USED("readOnly", BOOL, MORE)

/* --- Files that the kubelet writes */

LOCAL_TABLE(key_to_path, IGNORED("key", STRING, MORE), IGNORED("mode", INT, MORE),
            IGNORED("path", STRING, MORE));
LOCAL_TABLE(downward_file, IGNORED_OBJECT("fieldRef", pod_tables_field_ref, MORE),
            IGNORED_OBJECT("resourceFieldRef", pod_tables_resource_ref, MORE),
            IGNORED("mode", INT, MORE), IGNORED("path", STRING, MORE));
LOCAL_TABLE(config_map, IGNORED("name", STRING, MORE), IGNORED("defaultMode", INT, MORE),
            IGNORED_LIST("items", key_to_path, MORE), IGNORED("optional", BOOL, MORE));
LOCAL_TABLE(secret, IGNORED("secretName", STRING, MORE), IGNORED("defaultMode", INT, MORE),
            IGNORED_LIST("items", key_to_path, MORE), IGNORED("optional", BOOL, MORE));
LOCAL_TABLE(downward, IGNORED("defaultMode", INT, MORE),
            IGNORED_LIST("items", downward_file, MORE));
LOCAL_TABLE(config_map_projection, IGNORED("name", STRING, MORE),
            IGNORED_LIST("items", key_to_path, MORE), IGNORED("optional", BOOL, MORE));
LOCAL_TABLE(downward_projection, IGNORED_LIST("items", downward_file, MORE));
LOCAL_TABLE(token, IGNORED("path", STRING, MORE), IGNORED("audience", STRING, MORE),
            IGNORED("expirationSeconds", INT, MORE));
LOCAL_TABLE(trust_bundle, IGNORED_OBJECT("labelSelector", pod_tables_label_selector, MORE),
            IGNORED("name", STRING, MORE), IGNORED("optional", BOOL, MORE),
            IGNORED("path", STRING, MORE), IGNORED("signerName", STRING, MORE));
LOCAL_TABLE(projection, IGNORED_OBJECT("clusterTrustBundle", trust_bundle, MORE),
            IGNORED_OBJECT("configMap", config_map_projection, MORE),
            IGNORED_OBJECT("downwardAPI", downward_projection, MORE),
            IGNORED_OBJECT("secret", config_map_projection, MORE),
            IGNORED_OBJECT("serviceAccountToken", token, MORE));
LOCAL_TABLE(projected, IGNORED("defaultMode", INT, MORE),
            IGNORED_LIST("sources", projection, MORE));

/* --- Memory and disk of the guest */

LOCAL_TABLE(empty_dir, USED("medium", STRING, "Memory and HugePages-*: of the guest's memory"),
            IGNORED("sizeLimit", SCALAR, "how much room it gets is the host's"));

/* --- Claims */

LOCAL_TABLE(local_object_ref, IGNORED("apiGroup", STRING, MORE), IGNORED("kind", STRING, MORE),
            IGNORED("name", STRING, MORE));
LOCAL_TABLE(object_ref, IGNORED("apiGroup", STRING, MORE), IGNORED("kind", STRING, MORE),
            IGNORED("name", STRING, MORE), IGNORED("namespace", STRING, MORE));
LOCAL_TABLE(claim_resources, IGNORED("limits", SCALARS, MORE), IGNORED("requests", SCALARS, MORE));
LOCAL_TABLE(claim_spec, USED("volumeMode", STRING, "Block is for volumeDevices"),
            IGNORED("accessModes", STRINGS, MORE),
            IGNORED_OBJECT("dataSource", local_object_ref, MORE),
            IGNORED_OBJECT("dataSourceRef", object_ref, MORE),
            IGNORED_OBJECT("resources", claim_resources, MORE),
            IGNORED_OBJECT("selector", pod_tables_label_selector, MORE),
            IGNORED("storageClassName", STRING, MORE),
            IGNORED("volumeAttributesClassName", STRING, MORE),
            IGNORED("volumeName", STRING, MORE));
POD_TABLE(pod_tables_claim, NULL, IGNORED("apiVersion", STRING, MORE),
          IGNORED("kind", STRING, MORE),
          USED_OBJECT("metadata", pod_tables_plain_metadata, "its name is the volume's"),
          USED_OBJECT("spec", claim_spec, "which disk it is, is the host's"),
          IGNORED("status", OBJECT, "the API server writes it"));
LOCAL_TABLE(claim_template,
            IGNORED_OBJECT("metadata", pod_tables_plain_metadata, "of the claim, not of the pod"),
            USED_OBJECT("spec", claim_spec, "as of volumeClaimTemplates"));
LOCAL_TABLE(ephemeral, USED_OBJECT("volumeClaimTemplate", claim_template, MORE));
LOCAL_TABLE(claim, IGNORED("claimName", STRING, MORE), READ_ONLY);

/* --- Disks that the kubelet mounts */

#define TEXT(name) IGNORED(name, STRING, MORE)
#define SECRET_REF(name) IGNORED_OBJECT(name, pod_tables_local_ref, MORE)
LOCAL_TABLE(aws, TEXT("fsType"), IGNORED("partition", INT, MORE), READ_ONLY, TEXT("volumeID"));
LOCAL_TABLE(azure_disk, TEXT("cachingMode"), TEXT("diskName"), TEXT("diskURI"), TEXT("fsType"),
            TEXT("kind"), READ_ONLY);
LOCAL_TABLE(cinder, TEXT("fsType"), READ_ONLY, SECRET_REF("secretRef"), TEXT("volumeID"));
LOCAL_TABLE(csi, TEXT("driver"), TEXT("fsType"), SECRET_REF("nodePublishSecretRef"), READ_ONLY,
            IGNORED("volumeAttributes", TEXTS, MORE));
LOCAL_TABLE(fc, TEXT("fsType"), IGNORED("lun", INT, MORE), READ_ONLY,
            IGNORED("targetWWNs", STRINGS, MORE), IGNORED("wwids", STRINGS, MORE));
LOCAL_TABLE(flex, TEXT("driver"), TEXT("fsType"), IGNORED("options", TEXTS, MORE), READ_ONLY,
            SECRET_REF("secretRef"));
LOCAL_TABLE(flocker, TEXT("datasetName"), TEXT("datasetUUID"));
LOCAL_TABLE(gce, TEXT("fsType"), IGNORED("partition", INT, MORE), TEXT("pdName"), READ_ONLY);
LOCAL_TABLE(iscsi, IGNORED("chapAuthDiscovery", BOOL, MORE), IGNORED("chapAuthSession", BOOL, MORE),
            TEXT("fsType"), TEXT("initiatorName"), TEXT("iqn"), TEXT("iscsiInterface"),
            IGNORED("lun", INT, MORE), IGNORED("portals", STRINGS, MORE), READ_ONLY,
            SECRET_REF("secretRef"), TEXT("targetPortal"));
LOCAL_TABLE(photon, TEXT("fsType"), TEXT("pdID"));
LOCAL_TABLE(portworx, TEXT("fsType"), READ_ONLY, TEXT("volumeID"));
LOCAL_TABLE(rbd, TEXT("fsType"), TEXT("image"), TEXT("keyring"), IGNORED("monitors", STRINGS, MORE),
            TEXT("pool"), READ_ONLY, SECRET_REF("secretRef"), TEXT("user"));
LOCAL_TABLE(scale_io, TEXT("fsType"), TEXT("gateway"), TEXT("protectionDomain"), READ_ONLY,
            SECRET_REF("secretRef"), IGNORED("sslEnabled", BOOL, MORE), TEXT("storageMode"),
            TEXT("storagePool"), TEXT("system"), TEXT("volumeName"));
LOCAL_TABLE(storage_os, TEXT("fsType"), TEXT("pool"), READ_ONLY, SECRET_REF("secretRef"),
            TEXT("volumeName"), TEXT("volumeNamespace"));
LOCAL_TABLE(vsphere, TEXT("fsType"), TEXT("storagePolicyID"), TEXT("storagePolicyName"),
            TEXT("volumePath"));

#define WRITTEN                                                                                    \
    USED_OBJECT("emptyDir", empty_dir, "memory, or an encrypted disk or a folder of the guest"),   \
        USED_OBJECT("configMap", config_map, CONTENTS), USED_OBJECT("secret", secret, CONTENTS),   \
        USED_OBJECT("downwardAPI", downward, CONTENTS),                                            \
        USED_OBJECT("projected", projected, CONTENTS)
#define CLAIMS                                                                                     \
    USED_OBJECT("persistentVolumeClaim", claim, COPIED),                                           \
        USED_OBJECT("ephemeral", ephemeral, COPIED), USED_OBJECT("csi", csi, COPIED)
#define DISKS                                                                                      \
    USED_OBJECT("awsElasticBlockStore", aws, COPIED),                                              \
        USED_OBJECT("azureDisk", azure_disk, COPIED), USED_OBJECT("cinder", cinder, COPIED),       \
        USED_OBJECT("fc", fc, COPIED), USED_OBJECT("flexVolume", flex, COPIED),                    \
        USED_OBJECT("flocker", flocker, COPIED), USED_OBJECT("gcePersistentDisk", gce, COPIED),    \
        USED_OBJECT("iscsi", iscsi, COPIED), USED_OBJECT("photonPersistentDisk", photon, COPIED),  \
        USED_OBJECT("portworxVolume", portworx, COPIED), USED_OBJECT("rbd", rbd, COPIED),          \
        USED_OBJECT("scaleIO", scale_io, COPIED), USED_OBJECT("storageos", storage_os, COPIED),    \
        USED_OBJECT("vsphereVolume", vsphere, COPIED)

POD_TABLE(
    pod_tables_volume, NULL, USED("name", STRING, "mounts name it"), WRITTEN, CLAIMS, DISKS,
    REFUSED(
        "hostPath", OBJECT,
        "a file or folder of the node, which the pod's own machine does not have; put the files "
        "into a ConfigMap or the image, use emptyDir for scratch space, and run what watches "
        "nodes under the nodes' own runtime class"),
    REFUSED("azureFile", OBJECT, SHARED(IN_POD)), REFUSED("cephfs", OBJECT, SHARED(IN_POD)),
    REFUSED("glusterfs", OBJECT, SHARED(IN_POD)), REFUSED("nfs", OBJECT, SHARED(IN_POD)),
    REFUSED("quobyte", OBJECT, SHARED(IN_POD)),
    REFUSED(
        "gitRepo", OBJECT,
        "the node would clone it, and Kubernetes has given it up; clone it in an init container "
        "into an emptyDir"),
    REFUSED("image", OBJECT,
            "Kata mounts no image as a volume, and nothing would bind its contents; copy the files "
            "into the container's image"));
