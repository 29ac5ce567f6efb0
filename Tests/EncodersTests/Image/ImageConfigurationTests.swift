import Encoders
import Testing

@Suite struct ImageConfigurationTests {
    private func transformers(_ text: String) throws -> ImagePreprocessing {
        try .transformers(Array(text.utf8), path: "preprocessor_config.json")
    }

    private func openCLIP(_ text: String) throws -> ImagePreprocessing {
        try .openCLIP(Array(text.utf8), path: "open_clip_config.json")
    }

    @Test func readsWhatTransformersWrites() throws {
        let written = """
            {"crop_size": {"height": 224, "width": 224}, "do_center_crop": true,
             "do_convert_rgb": true, "do_normalize": true, "do_rescale": true, "do_resize": true,
             "image_mean": [0.48145466, 0.4578275, 0.40821073],
             "image_processor_type": "CLIPImageProcessor",
             "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
             "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}}
            """
        let expected = ImagePreprocessing(profile: .transformersPIL, size: 224)
        #expect(try transformers(written) == expected)
        #expect(try transformers("{\"image_processor\": \(written)}") == expected)
        #expect(try transformers("{}") == expected)
        #expect(try transformers(#"{"size": null, "image_mean": null}"#) == expected)
    }

    @Test func namesOfProcessorsDecideTheProfile() throws {
        func profile(_ name: String) throws -> ImagePreprocessing.Profile {
            try transformers("{\"image_processor_type\": \"\(name)\"}").profile
        }
        for name in ["CLIPImageProcessor", "CLIPImageProcessorPil", "SiglipImageProcessor"] {
            #expect(try profile(name) == .transformersPIL)
        }
        for name in ["CLIPImageProcessorFast", "SiglipImageProcessorFast"] {
            #expect(try profile(name) == .transformersTorchvision)
        }
    }

    @Test func aProfileIsRefusedThatCannotDoIt() throws {
        let box = try transformers(#"{"resample": 4}"#)
        #expect(throws: EncoderError.self) { try box.adopting(.transformersTorchvision) }
        #expect(try box.adopting(.comfy).interpolation == .bicubic)
        var wide = ImagePreprocessing(profile: .openCLIP, size: 32)
        wide.width = 48
        #expect(throws: EncoderError.self) { try wide.adopting(.comfy) }
        #expect(try wide.adopting(.openCLIP) == wide)
        let bare = try transformers(#"{"do_normalize": false, "do_rescale": false}"#)
        #expect(try bare.adopting(.comfy).mean == ImagePreprocessing.clipMean)
    }

    @Test func readsTheOldForms() throws {
        let old = try transformers(
            """
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 35, "crop_size": 35,
             "do_rescale": false, "do_normalize": false, "resample": 2}
            """)
        var expected = ImagePreprocessing(profile: .transformersPIL, size: 35)
        expected.rescaleFactor = nil
        (expected.mean, expected.std) = (nil, nil)
        expected.interpolation = .bilinear
        #expect(old == expected)
        #expect(
            try transformers(#"{"size": [20, 30], "do_center_crop": false}"#).resize
                == .squash(height: 20, width: 30))
    }

    @Test func knowsSiglipsDefaults() throws {
        let siglip = try transformers(
            #"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 9, "width": 9}}"#)
        #expect(siglip.resize == .squash(height: 9, width: 9))
        #expect(!siglip.centerCrops && siglip.height == 9)
        #expect(siglip.mean == [0.5, 0.5, 0.5] && siglip.std == [0.5, 0.5, 0.5])
    }

    @Test func readsOpenCLIPsConfiguration() throws {
        let preprocessing = try openCLIP(
            """
            {"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 42}, "text_cfg": {}},
             "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": 0.5, "interpolation": "bilinear",
                                "resize_mode": "longest", "fill_color": 7, "size": [1, 1]}}
            """)
        var expected = ImagePreprocessing(profile: .openCLIP, size: 42)
        expected.resize = .fit(height: 42, width: 42)
        expected.fill = 7
        expected.interpolation = .bilinear
        expected.mean = [0.1, 0.2, 0.3]
        expected.std = [0.5, 0.5, 0.5]
        #expect(preprocessing == expected)
        #expect(
            try openCLIP(#"{"vision_cfg": {"image_size": 224}}"#)
                == ImagePreprocessing(profile: .openCLIP, size: 224))
    }

    @Test(arguments: [
        (#"{"size": 0}"#, "size"), (#"{"size": 1e9}"#, "size"), (#"{"size": 7.5}"#, "size"),
        (#"{"size": "224"}"#, "size"), (#"{"size": {"height": 3}}"#, "size"),
        (#"{"size": {"longest_edge": 3}}"#, "size"),
        (#"{"size": {"shortest_edge": -3}}"#, "size.shortest_edge"),
        (#"{"size": [1, 2, 3]}"#, "size"), (#"{"size": [1, 9000]}"#, "size[1]"),
        (#"{"crop_size": {"shortest_edge": 3}}"#, "crop_size"),
        (#"{"crop_size": true}"#, "crop_size"), (#"{"do_resize": 1}"#, "do_resize"),
        (#"{"resample": 6}"#, "resample"), (#"{"resample": -1}"#, "resample"),
        (#"{"rescale_factor": 0}"#, "rescale_factor"),
        (#"{"rescale_factor": 1e300}"#, "rescale_factor"),
        (#"{"image_mean": [0.1, 0.2]}"#, "image_mean"),
        (#"{"image_mean": [0.1, 0.2, "x"]}"#, "image_mean"),
        (#"{"image_mean": [0.1, 0.2, 1e300]}"#, "image_mean"),
        (#"{"image_std": [0.1, 0.0, 0.1]}"#, "image_std"),
        (#"{"image_std": [0.1, -1, 0.1]}"#, "image_std"),
        (#"{"do_center_crop": "yes"}"#, "do_center_crop"),
        (#"{"image_processor_type": "DonutImageProcessor"}"#, "image_processor_type"),
        (#"{"image_processor": {"do_rescale": 0}}"#, "image_processor.do_rescale"),
        (#"[]"#, "(root)"),
    ])
    func namesTheFieldAtFault(text: String, field: String) {
        expectFault(field) { try transformers(text) }
    }

    @Test(arguments: [
        (#"{"model_cfg": 3}"#, "model_cfg"),
        (#"{"model_cfg": {"vision_cfg": {"image_size": -1}}}"#, "model_cfg.vision_cfg.image_size"),
        (#"{"preprocess_cfg": {"resize_mode": "crop"}}"#, "preprocess_cfg.resize_mode"),
        (#"{"preprocess_cfg": {"interpolation": "lanczos"}}"#, "preprocess_cfg.interpolation"),
        (#"{"preprocess_cfg": {"mode": "L"}}"#, "preprocess_cfg.mode"),
        (
            #"{"preprocess_cfg": {"resize_mode": "longest", "fill_color": 256}}"#,
            "preprocess_cfg.fill_color"
        ),
    ])
    func namesTheFieldAtFaultInOpenCLIP(text: String, field: String) {
        expectFault(field) { try openCLIP(text) }
    }

    @Test func saysWhereTheJSONBreaks() {
        let error = #expect(throws: EncoderError.self) { try transformers("{\"size\": }") }
        guard case .malformed("preprocessor_config.json", 9, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    private func expectFault(_ field: String, _ body: () throws -> ImagePreprocessing) {
        let error = #expect(throws: EncoderError.self) { try body() }
        guard case .configuration(_, field, _, _) = error else {
            Issue.record("expected a fault of \(field): \(String(describing: error))")
            return
        }
    }
}
