import Encoders

/// One compute thread's own memory: a workspace a tower, kept from request to request.
package final class Worker {
    package let index: Int
    private var vision: [ObjectIdentifier: VisionWorkspace] = [:]
    /// One a configuration, not one a tower: towers with other weights merged in come and go.
    private var text: [(configuration: TextConfiguration, workspace: TextWorkspace)] = []
    private var resizing: [ResizeKey: DifferentiablePreprocessing] = [:]

    private struct ResizeKey: Hashable {
        let tower: ObjectIdentifier
        let height: Int
        let width: Int
    }

    /// A sampler sends one size again and again; a few more are kept for mixed clients.
    private static let keptSizes = 8

    init(index: Int) { self.index = index }

    func workspace(for tower: VisionTower) -> VisionWorkspace {
        let key = ObjectIdentifier(tower)
        if let workspace = vision[key] { return workspace }
        let workspace = tower.makeWorkspace()
        vision[key] = workspace
        return workspace
    }

    func workspace(for tower: TextTower) -> TextWorkspace {
        let configuration = tower.configuration
        if let known = text.first(where: { $0.configuration == configuration }) {
            return known.workspace
        }
        let workspace = tower.makeWorkspace()
        text.append((configuration, workspace))
        return workspace
    }

    /// The differentiable map from an H × W image to the tower's input.
    func preprocessing(
        for side: ImageSide, height: Int, width: Int
    ) throws(EncoderError) -> DifferentiablePreprocessing {
        let key = ResizeKey(tower: ObjectIdentifier(side.tower), height: height, width: width)
        if let map = resizing[key] { return map }
        let map = try DifferentiablePreprocessing(
            side.preprocessing, height: height, width: width)
        if resizing.count >= Worker.keptSizes { resizing.removeAll() }
        resizing[key] = map
        return map
    }
}
