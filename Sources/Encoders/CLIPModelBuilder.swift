import CKernels

/// A checkpoint on its way to being models: what they are is known, their towers are made one after the
/// other, so that the first can work while the next is made.
///
/// Weights are read once for all variants, and only one tower's are in memory at a time.
package struct CLIPModelBuilder: Sendable {
    /// The models without towers, one for each way in which their weights are to be held. They have
    /// their final configuration, tokenizer, preprocessing and fingerprint.
    package let identified: [CLIPModel]
    private let survey: CheckpointSurvey

    /// Where the weights can be read again: as they were when they were digested, or not at all.
    package var source: CheckpointTower { survey.tower }

    /// Checks everything but the numbers themselves, and digests the weights.
    ///
    /// - Parameter variants: how the weights are to be held; at least one.
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    package init(
        _ tower: CheckpointTower, path: String, variants: [ComputeOptions]
    ) throws(EncoderError) {
        // Before minutes of reading.
        for options in variants { try options.check() }
        let survey = try CheckpointSurvey(tower)
        let tokenizer = try TokenizerSource.find(tower)
        let preprocessing = try PreprocessingSource.find(tower)
        self.survey = survey
        identified = variants.map { CLIPModel(path, survey, tokenizer, preprocessing, $0) }
    }

    /// Gives every model its text tower, in order; does nothing for a checkpoint without one.
    ///
    /// - Parameters:
    ///   - models: as `identified`, perhaps with towers that were added before.
    ///   - made: is handed each model's number and the model with the tower, as soon as it is made.
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used.
    package func addText(
        to models: [CLIPModel], made: (Int, CLIPModel) -> Void
    ) throws(EncoderError) {
        try add(survey.textWeights, to: models, made: made) { model, weights throws(EncoderError) in
            try model.adding(weights)
        }
    }

    /// Gives every model its image tower; as ``addText(to:made:)``.
    package func addVision(
        to models: [CLIPModel], made: (Int, CLIPModel) -> Void
    ) throws(EncoderError) {
        try add(survey.visionWeights, to: models, made: made) {
            model, weights throws(EncoderError) in
            try model.adding(weights)
        }
    }

    private func add<Weights>(
        _ read: () throws(EncoderError) -> Weights?, to models: [CLIPModel],
        made: (Int, CLIPModel) -> Void,
        adding: (CLIPModel, Weights?) throws(EncoderError) -> CLIPModel
    ) throws(EncoderError) {
        var weights = try read()
        guard weights != nil else { return }
        for (index, model) in models.enumerated() {
            let next = try adding(model, weights)
            // What `made` does with the last model finds their memory free.
            if index == models.count - 1 {
                weights = nil
                gk_give_back_free_memory()
            }
            made(index, next)
        }
    }
}
