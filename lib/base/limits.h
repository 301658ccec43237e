/* Limits: every bound on what a peer, a host, a file or a queue may make us hold, in one place.
 * Sizes in bytes, times in milliseconds unless the name says otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LIMITS_H
#define CONTRAST_LIMITS_H

/* Frames and messages (docs/wire.md) */
#define LIMIT_FRAME_BODY (1024 * 1024 + 64 * 1024)
#define LIMIT_FRAME_BODY_UNAUTHENTICATED (64 * 1024)
#define LIMIT_WIRE_DEPTH 16
#define LIMIT_CONN_WRITE_QUEUE (4 * 1024 * 1024) /* high-water mark: then the link is cut */
#define LIMIT_TLS_READ_CHUNK (64 * 1024)
#define LIMIT_TLS_INPUT (256 * 1024) /* ciphertext fed and not read yet */
#define LIMIT_CLOSE_MS 5000          /* an orderly close, before it is cut */

/* Attestation (ARCHITECTURE section 4) */
#define LIMIT_EVIDENCE_LEAVES 1024 /* leaf count of one report */
#define LIMIT_EVIDENCE_PATH 10     /* nodes: log2(1024) */
#define LIMIT_CERT 4096            /* one DER certificate of an endorsement */
#define LIMIT_CRL (64 * 1024)
#define LIMIT_DER_DEPTH 16 /* constructed values in one another; a certificate has 7 */
#define LIMIT_STATEMENT 2048
#define LIMIT_EVIDENCE (32 * 1024) /* all of it, without the CRL */
#define LIMIT_SNP_REPORT 1184
#define LIMIT_EVIDENCE_CHAIN 3           /* certificates beside the VEK */
#define LIMIT_EVIDENCE_FILE (128 * 1024) /* a file that is handed to `contrast evidence` */
#define LIMIT_EVIDENCE_PARTS 15     /* certificates, and as many lists, in such files together */
#define LIMIT_ATTEST_RETRY_MS 10000 /* a throttling host is asked again for so long */
#define LIMIT_SNP_CERTTABLE 16384   /* what the kernel takes from a host */
#define LIMIT_SNP_CERTTABLE_ENTRIES 32
#define LIMIT_SNP_CACHE 512      /* proven chains in memory, about 10 KB each */
#define LIMIT_SNP_AUTHORITIES 16 /* pairs of ASK or ASVK and ARK in memory */
#define LIMIT_SNP_TABLES 32      /* of hot keys, 0.43 MB each: 14 MB */
#define LIMIT_ISSUER_MS 60000    /* silence of a host in the middle of a report */
#define LIMIT_ATTEST_WAIT_MS                                                                       \
    20000                     /* on a report: then who asked for it hears that the host is silent */
#define LIMIT_ATTEST_KEYS 16  /* that wait to be derived */
#define LIMIT_ISSUER_TRIES 5  /* of one report, when others interfere with it */
#define LIMIT_TSM_TEXT 64     /* one text attribute of configfs-tsm */
#define LIMIT_TSM_ENTRIES 256 /* of configfs-tsm that are looked at to clean up */

#define LIMIT_PATH 1023 /* of a file that a setting names */

/* AMD's key service (docs of its address, budget and cache: attest/endorse) */
#define LIMIT_KDS_MS 10000           /* one request, whole */
#define LIMIT_KDS_CONNECT_MS 5000    /* of it to connect, TLS included */
#define LIMIT_KDS_STALL_S 5          /* seconds below one byte each: cut */
#define LIMIT_KDS_HEADER (16 * 1024) /* of one answer */
#define LIMIT_KDS_URL 512
#define LIMIT_KDS_RETRY_MS 3600000    /* what an answer may make us wait */
#define LIMIT_KDS_OWN_BURST 2         /* requests at once of one process, after a pause */
#define LIMIT_KDS_OWN_PERIOD_MS 10000 /* for one more: AMD throttles about there */
#define LIMIT_KDS_BACKOFF_MS 1000     /* after the first failure; doubles */
#define LIMIT_KDS_BACKOFF_MAX_MS 60000
#define LIMIT_KDS_ATTEMPTS 6     /* for one certificate, before it counts as failed */
#define LIMIT_KDS_QUEUE 64       /* certificates and lists that wait */
#define LIMIT_KDS_ADDRESS 4      /* of them for one client's address (IPv6: /64) */
#define LIMIT_KDS_WANT_MS 600000 /* that one of them waits */
#define LIMIT_IMPORT_FILES 4096  /* of one folder */
#define LIMIT_IMPORT_FILE (1024 * 1024)
#define LIMIT_IMPORT_ITEMS 16384 /* certificates and lists of all files */

/* Launch images (attest/launch) */
#define LIMIT_IGVM_HEADERS (64 * 1024 * 1024) /* variable headers of a file: 2 million pages */
#define LIMIT_IGVM_PAGES 4194304              /* that one launch measures: 16 GiB */
#define LIMIT_IGVM_PARAMETER_AREAS 256        /* declared in one file */
#define LIMIT_IGVM_AREA_PAGES 4096            /* of one parameter area: 16 MiB */
#define LIMIT_OVMF (64 * 1024 * 1024)         /* a firmware image or an SVSM */
#define LIMIT_OVMF_SECTIONS 64                /* of its SEV metadata */
#define LIMIT_OVMF_SECTION_PAGES 65536        /* all sections together: 256 MiB */
#define LIMIT_LAUNCH_VCPUS 4096
#define LIMIT_LAUNCH_HASHED (UINT64_C(1) << 34) /* bytes of a kernel or an initrd */

/* Manifests and policies */
#define LIMIT_MANIFEST (16 * 1024 * 1024) /* what a file may have before it is even parsed */
#define LIMIT_MANIFEST_SET (512 * 1024)   /* what fits one log entry beside keys and certificates */
#define LIMIT_POLICY (256 * 1024)         /* one policy document; one BLOB entry */
#define LIMIT_POLICIES 1024               /* in one manifest */
#define LIMIT_SANS 64
#define LIMIT_SAN 253
#define LIMIT_SECRET_ID 512 /* a workload secret's name in a manifest */
#define LIMIT_OWNER_KEYS 64
#define LIMIT_REFERENCE_VALUES 64
#define LIMIT_CHIP_IDS 4096
#define LIMIT_CSP_IDS 64 /* providers in one set of reference values */
#define LIMIT_CSP_ID 127 /* one of them, as a VLEK names it */
#define LIMIT_ID_KEYS 64 /* ID keys, and author keys, in one set */
#define LIMIT_CRL_GRACE_HOURS 8760
#define LIMIT_PEM (16 * 1024)
#define LIMIT_SPKI 600
#define LIMIT_SIGNATURE 160

/* YAML */
#define LIMIT_YAML_FILE (64 * 1024 * 1024)
#define LIMIT_YAML_DEPTH 100
#define LIMIT_YAML_NODES 1000000
#define LIMIT_YAML_ANCHORS 1000 /* in one document */

/* Annotations of pods */
#define LIMIT_MESH_ENTRIES 64 /* connections that one service mesh annotation names */
#define LIMIT_MESH_NAME 63    /* bytes of a connection's name */
#define LIMIT_YAML_MERGE 1000 /* keys of one mapping with "<<" */

/* Container image layers (cli/layer) */
#define LIMIT_LAYER_TAR (UINT64_C(1) << 36)        /* one layer, not compressed: 64 GiB */
#define LIMIT_LAYER_MEMORY (44 * 1024 * 1024)      /* index of a layer and window of its decoder */
#define LIMIT_LAYER_WINDOW_LOG 25                  /* zstd: 32 MiB that a frame may look back */
#define LIMIT_LAYER_RATIO 256                      /* tar bytes for one byte of the blob... */
#define LIMIT_LAYER_RATIO_FREE (256 * 1024 * 1024) /* ... beyond so many tar bytes */
#define LIMIT_LAYER_CHUNK (256 * 1024)             /* one buffer between decoder and hash thread */
#define LIMIT_LAYER_QUEUE 8                        /* such buffers */
#define LIMIT_LAYER_EXTENSION (1024 * 1024)        /* one long name or pax header of a tar */
#define LIMIT_LAYER_FILE (1024 * 1024)             /* etc/passwd or etc/group */
#define LIMIT_LAYER_WARNINGS 256                   /* kept; others are counted */
#define LIMIT_LAYER_WARNING 8192                   /* bytes of one */

/* Container registries (cli/registry) */
#define LIMIT_REGISTRY_DOCUMENT (4 * 1024 * 1024) /* a manifest, an index or a config */
#define LIMIT_REGISTRY_ITEMS 65536                /* brackets and commas of one JSON document */
#define LIMIT_REGISTRY_TOKEN (64 * 1024)          /* an answer of a token server or a helper */
#define LIMIT_REGISTRY_ERROR (16 * 1024)          /* read of the body of a refusal */
#define LIMIT_REGISTRY_HEADER (64 * 1024)         /* of one answer */
#define LIMIT_REGISTRY_URL (16 * 1024)            /* signed addresses of blob stores are long */
#define LIMIT_REGISTRY_REDIRECTS 5
#define LIMIT_REGISTRY_CHALLENGES 8
#define LIMIT_REGISTRY_LAYERS 512                   /* of one image */
#define LIMIT_REGISTRY_NESTING 3                    /* an index in an index in an index */
#define LIMIT_REGISTRY_BLOB (UINT64_C(1) << 36)     /* one compressed layer: 64 GiB */
#define LIMIT_REGISTRY_CONFIG_FILE (1024 * 1024)    /* ~/.docker/config.json */
#define LIMIT_REGISTRY_CACHE_FILE (8 * 1024 * 1024) /* what is kept of one layer */
#define LIMIT_REGISTRY_CONNECT_MS 15000
#define LIMIT_REGISTRY_MS 60000               /* one document, whole */
#define LIMIT_REGISTRY_STALL_BYTES 256        /* a second: what is slower... */
#define LIMIT_REGISTRY_STALL_S 30             /* ... for so many seconds is cut */
#define LIMIT_REGISTRY_ATTEMPTS 6             /* in a row that bring nothing */
#define LIMIT_REGISTRY_RESUMES 64             /* of one layer, however much each brings */
#define LIMIT_REGISTRY_BACKOFF_MS 500         /* after a first failure; doubles */
#define LIMIT_REGISTRY_RETRY_MS 120000        /* a Retry-After that we wait for */
#define LIMIT_FETCH_WORKERS 16                /* layers and documents at a time */
#define LIMIT_FETCH_MEMORY (48 * 1024 * 1024) /* of all layers that are streamed at a time */
#define LIMIT_FETCH_SHARE (3 * 1024 * 1024)   /* of it, what a layer begins with */
#define LIMIT_FETCH_STEP (1024 * 1024)        /* ... and what it grows by */
#define LIMIT_FETCH_KEPT (4 * 1024 * 1024)    /* configs and users of all images of a run */
#define LIMIT_FETCH_LAYERS 8192               /* different ones of a run */
#define LIMIT_REGISTRY_HELPER_MS 30000        /* one run of a credential helper */

/* Images and policies (cli/policy) */
#define LIMIT_GEN_IMAGES 1000 /* different references of one run */
#define LIMIT_IMAGE_CONFIG (4 * 1024 * 1024)
#define LIMIT_IMAGE_STRINGS 4096                /* of one list of a config */
#define LIMIT_IMAGE_VOLUMES 256                 /* of one config */
#define LIMIT_IMAGE_NAME 255                    /* of a user in etc/passwd */
#define LIMIT_POLICY_READ (4 * 1024 * 1024)     /* a document of any tool, unpacked, to be shown */
#define LIMIT_POLICY_CASES (64 * 1024 * 1024)   /* a file of requests to be judged */
#define LIMIT_POLICY_ANSWERS (64 * 1024 * 1024) /* what the judge says to them */
#define LIMIT_POLICY_JUDGE_MS 600000            /* one run of it */
#define LIMIT_POLICY_CIRCLE 1000                /* variables that one refers to, and these */
#define LIMIT_POLICY_LINE 1000                  /* bytes; some agents refuse lines over 1024 */
#define LIMIT_POLICY_NESTING 8             /* of policy_data: agents parse deeper data in 2^depth */
#define LIMIT_POD_ANNOTATIONS (256 * 1024) /* keys and values together; Kubernetes' limit */

/* TOML and containerd's configuration (installer) */
#define LIMIT_TOML_FILE (1024 * 1024)
#define LIMIT_TOML_DEPTH 64    /* of arrays and inline tables; also parts of one key */
#define LIMIT_TOML_NODES 16384 /* keys, items and tables of one file */
#define LIMIT_HANDLER 63       /* bytes of the name of a runtime */
#define LIMIT_HANDLERS 64      /* of ours, named by one file */

/* Consensus */
#define LIMIT_ENTRY (1024 * 1024)
#define LIMIT_VOTERS 5
#define LIMIT_MEMBERS 16
#define LIMIT_NAME 63
#define LIMIT_ADDRESS 255
#define LIMIT_INFLIGHT_ENTRIES 1024
#define LIMIT_SNAPSHOT_TRAILING 2048 /* entries kept behind a snapshot; >= in-flight (rule R3) */
#define LIMIT_SNAPSHOT_CHUNK (256 * 1024)
#define LIMIT_SNAPSHOT (256 * 1024 * 1024)
#define LIMIT_TRANSFERS 4                 /* snapshots that one leader sends at a time */
#define LIMIT_TRANSFER_IDLE_MS 30000      /* a transfer that does not progress, on both sides */
#define LIMIT_HELD_LOG (64 * 1024 * 1024) /* bytes of entries kept for who still needs them */
#define LIMIT_HELD_ENTRIES (512 * 1024)   /* of them */
#define LIMIT_APPEND_BYTES                                                                         \
    (512 * 1024) /* of entries in one AppendEntries, but for a single one                          \
                  */
#define LIMIT_APPEND_ENTRIES 1024
#define LIMIT_APPEND_UNDER_WAY                                                                     \
    (2 * 1024 * 1024) /* of entries to one follower without an answer, and one message more: a     \
                         link holds twice as much (LIMIT_CONN_WRITE_QUEUE) */
#define LIMIT_UNCOMMITTED (32 * 1024 * 1024) /* bytes in a leader's log beyond the commit index */
#define LIMIT_PENDING_READS 4096
#define LIMIT_GONE_CAMPAIGNS 8 /* early elections in one election timeout: links flap */
#define LIMIT_LINK_CONNECTIONS (4 * LIMIT_MEMBERS) /* to and from peers, and of strangers */
#define LIMIT_LINK_HALF_OPEN LIMIT_MEMBERS /* handshakes of one address: all members behind it */
#define LIMIT_LINK_PENDING 2               /* connections of one peer that have not said HELLO */
#define LIMIT_LINK_HELLO_MS 5000
#define LIMIT_LINK_SILENCE_MS 10000 /* a PING comes ten times as often */
#define LIMIT_LINK_NOTICE_MS 600000 /* between two lines about one kind of trouble with a peer */
#define LIMIT_LINK_NOTICES 10       /* kinds */
#define LIMIT_SNAPSHOT_LOG                                                                         \
    (64 * 1024 * 1024) /* bytes applied since the last snapshot: time for one */

/* Members among themselves (coordinator/replica.h) */
#define LIMIT_ALARM_CODE 63     /* bytes of an alarm's code */
#define LIMIT_ALARM_TEXT 700    /* bytes of its text */
#define LIMIT_CLOCK_AHEAD_S 600 /* of an entry's time, beyond the median of the voters' clocks */
#define LIMIT_ADMISSION_KEYS 64 /* names and chips whose admissions a leader remembers */
#define LIMIT_ADMISSION_NAME_BURST 5        /* admissions of one name at once, after a pause */
#define LIMIT_ADMISSION_NAME_PERIOD_MS 5000 /* for one more */
#define LIMIT_ADMISSION_CHIP_BURST 16       /* of one chip: it may carry many pods */
#define LIMIT_ADMISSION_CHIP_PERIOD_MS 2000

/* State */
#define LIMIT_HISTORY 1000                       /* manifests */
#define LIMIT_CLIENT_HISTORY (256 * 1024 * 1024) /* bytes that a client reads of one */
#define LIMIT_LEDGER 1000000                     /* leaves */
#define LIMIT_ISSUE_BATCH 256                    /* requests in one ISSUE entry */
#define LIMIT_LEAF_VALIDITY_S (7 * 24 * 3600)    /* seconds */
#define LIMIT_BLOBS 16384                        /* policies, of all manifests */
#define LIMIT_BLOB_BYTES (64 * 1024 * 1024)      /* all policies together */
#define LIMIT_HISTORY_BYTES (64 * 1024 * 1024)   /* all manifests together */
#define LIMIT_REQUEST_WINDOW 1024                /* remembered requests per member */
#define LIMIT_PENDING_REQUESTS 4096              /* of all session threads at the core thread */
#define LIMIT_PENDING_BYTES (64 * 1024 * 1024)   /* of their entries that wait for an outcome */
#define LIMIT_SESSION_UPLOADS (64 * 1024 * 1024) /* policies that one `set` may hold */

/* Recovery (docs/recovery.md) */
#define LIMIT_EPOCHS 64       /* recoveries in the life of a cluster */
#define LIMIT_SHARE_OWNERS 16 /* in a manifest */
#define LIMIT_PKCS1 1100      /* an RSA public key as in a manifest: up to 8192 bits */
#define LIMIT_RSA_SIGNATURE 1024
#define LIMIT_SHARE 33 /* number of a share, and share */
#define LIMIT_CHECKPOINT_HEADER                                                                    \
    (64 * 1024) /* of a sealed file, with everything before the ciphertext */
#define LIMIT_CHECKPOINT (LIMIT_SNAPSHOT + LIMIT_CHECKPOINT_HEADER) /* the whole file */
#define LIMIT_CHECKPOINT_PIECE (512 * 1024)                         /* of a file, in one message */
#define LIMIT_ALARMS 32                                             /* that a replica shows */
#define LIMIT_EPOCH_STEP 1000000        /* a new epoch above the one before */
#define LIMIT_EPOCH_AHEAD 1000          /* above all that this share owner has seen or signed */
#define LIMIT_RECOVERIES 2              /* recovery sessions of a replica at a time */
#define LIMIT_RECOVERY_BURST 4          /* of them opened at once, after a pause */
#define LIMIT_RECOVERY_PERIOD_MS 2000   /* for one more */
#define LIMIT_RECOVERY_REST_MS 10000    /* without a contribution: gives way to a new one */
#define LIMIT_RECOVERY_IDLE_MS 600000   /* without a contribution or progress: lapses */
#define LIMIT_RECOVERY_MS 1800000       /* with a contribution, without progress: lapses */
#define LIMIT_RECOVERY_TOTAL_MS 7200000 /* whatever comes */
#define LIMIT_CHECKPOINTS 4             /* sealed files in memory at a time, to be fetched */
#define LIMIT_CHECKPOINT_BURST 8        /* made at once, after a pause */
#define LIMIT_CHECKPOINT_PERIOD_MS 5000 /* for one more */
#define LIMIT_CHECKPOINT_MS 300000      /* from being made to being fetched whole */

/* Restart without people (docs/recovery.md) */
#define LIMIT_RESTART_HEADER                                                                       \
    (LIMIT_MANIFEST_SET + 16 * 1024) /* of its file, up to the ciphertext */
#define LIMIT_RESTART_FILE (LIMIT_SNAPSHOT + LIMIT_RESTART_HEADER + 128)
#define LIMIT_RESTART_FILES 2   /* that one replica keeps */
#define LIMIT_RESTART_BLOCK_S 4 /* of the cluster's time: one file in each, if anything happens */
#define LIMIT_RESTART_ARMED_MS 20000 /* a share that was handed over counts so long */
#define LIMIT_RESTART_REARM_MS 60000 /* then its owner may hand it to somebody else */
#define LIMIT_RESTART_SETTLE_MS 5000 /* for others to return with a newer file */
#define LIMIT_RESTART_LOOK_MS 4000   /* one look at all peers */

/* Endorsements in the log (coordinator/core/core_collateral.c) */
#define LIMIT_COLLATERAL_VEKS 1024 /* chips and TCBs remembered; the oldest goes first */
#define LIMIT_COLLATERAL_CRLS 15   /* lists: product, kind, root; less than SNP_CRLS_MAX */
#define LIMIT_KDS_BURST 4          /* requests at once, of the whole cluster */
#define LIMIT_KDS_PERIOD_MS 10000  /* for one more: AMD throttles about there */
#define LIMIT_KDS_LEASES 32        /* keys that somebody asks for; over burst + lease / period */
#define LIMIT_KDS_LEASE_S 60       /* then another replica may ask for the same key */

/* Renewal of a pod's certificate (initializer) */
#define LIMIT_RENEWAL_STATUS (16 * 1024) /* renewal-status.json */
#define LIMIT_RENEWAL_CHECK_S 86400      /* seconds between two looks at the Coordinator */
#define LIMIT_RENEWAL_ENTRIES 256        /* of one folder that is swept */

/* Sessions of unauthenticated peers */
#define LIMIT_REJUDGE_MS 30000 /* between two judgements of a member that could not be verified */
#define LIMIT_ENDORSE_MS 4000  /* a peer without a certificate waits for one; the search goes on */
#define LIMIT_CONNECTIONS 1024 /* of one port of one session thread */
#define LIMIT_LISTENER_BYTES (128 * 1024 * 1024) /* that wait in all of them together */
#define LIMIT_LISTENER_NOTICE_MS 60000           /* between two lines that they were too many */
#define LIMIT_HANDSHAKE_MS 10000
#define LIMIT_IDLE_MS 120000
#define LIMIT_FOUNDINGS 4 /* that one session thread prepares at a time */

/* The node installer */
#define LIMIT_NODE_CONFIG (1024 * 1024) /* bytes of contrast-node-install.json */
#define LIMIT_NODE_FILES 256            /* that one runtime consists of */
#define LIMIT_NODE_PATH 1024            /* bytes of a path below the runtime's folder */
#define LIMIT_NODE_URL 4096             /* bytes of a file's address */
#define LIMIT_NODE_TEXT (16 * 1024)     /* bytes of kernel parameters, ID blocks */
#define LIMIT_NODE_DEPTH 32             /* folders in a folder that is removed */
#define LIMIT_NODE_JOURNAL (4 * 1024 * 1024)
#define LIMIT_NODE_RUNTIMES 64             /* installed side by side */
#define LIMIT_NODE_EDITS 256               /* files of containerd that one run changes */
#define LIMIT_NODE_FILE (INT64_C(8) << 30) /* bytes of one file of the payload */
#define LIMIT_NODE_OUTPUT (1024 * 1024)    /* bytes that a program of the host prints */
#define LIMIT_DIFF_LINES 4000 /* different ones of each text; the table has their product */
#define LIMIT_CRI_ANSWER (8 * 1024 * 1024) /* bytes of a message */
#define LIMIT_CRI_HANDLERS 256

#endif
