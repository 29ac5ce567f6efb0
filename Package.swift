// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is held to the same bar: Swift 6 mode, explicit existentials, imports that
/// stay private unless they are said to be public, and no warning left standing.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "guidanced",
    products: [
        .executable(name: "guidanced", targets: ["Daemon"])
    ],
    traits: [
        .trait(
            name: "PackedKernels",
            description: "Own matrix kernels with packed weights, bf16 and int8; without, OpenBLAS"),
        .default(enabledTraits: ["PackedKernels"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // One system library, one module map.
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "CPNG", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),

        // C of our own: vectorised loops, and libpng's setjmp discipline, which Swift cannot express.
        .target(name: "CKernels"),
        .target(
            name: "CPNGReader", dependencies: ["CPNG"],
            linkerSettings: [.linkedLibrary("png"), .linkedLibrary("z")]),
        // Stands before the C library's `accept`.
        .target(name: "CAcceptGuard"),
        // Files compiled into the binary: the CLIP vocabulary and the default model.
        .target(name: "CEmbedded", exclude: ["Data"]),

        .target(name: "System", swiftSettings: strict),
        .target(name: "JSON", swiftSettings: strict),
        .target(
            name: "Encoders",
            dependencies: [
                "JSON", "System", "COpenBLAS", "CKernels", "CPNGReader", "CEmbedded", "CXXHash",
            ],
            swiftSettings: strict),
        .target(name: "Prompts", swiftSettings: strict),
        .target(
            name: "Guidance", dependencies: ["Encoders", "Prompts", "CKernels"],
            swiftSettings: strict),
        .target(
            name: "IPC", dependencies: ["JSON", "System", "CZeroMQ", "CAcceptGuard"],
            swiftSettings: strict),
        .target(
            name: "Serving",
            dependencies: [
                "JSON", "System", "Encoders", "Prompts", "Guidance", "IPC",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "Daemon",
            dependencies: [
                "JSON", "System", "Encoders", "Prompts", "Guidance", "IPC", "Serving",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),

        // Stands before malloc in the test executable alone.
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        .testTarget(
            name: "EncodersTests",
            dependencies: ["Encoders", "Guidance", "JSON", "CKernels", "CAllocationCounter"],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "PromptsTests", dependencies: ["Prompts", "Guidance", "Encoders", "JSON"],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "GuidanceTests", dependencies: ["Guidance", "Prompts", "Encoders", "JSON"],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "IPCTests", dependencies: ["IPC", "JSON", "CZeroMQ"], swiftSettings: strict),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["Daemon", "Serving", "Guidance", "Encoders", "IPC", "JSON", "System"],
            exclude: ["Fixtures"], swiftSettings: strict),
    ]
)
