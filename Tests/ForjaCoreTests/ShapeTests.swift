import ForjaCore
import Testing

@Suite("Shape")
struct ShapeTests {
    @Test("counts elements, rows and width")
    func countsElements() {
        let shape: Shape = [2, 3, 5]
        #expect(shape.elementCount == 30)
        #expect(shape.rows == 6)
        #expect(shape.width == 5)
        #expect(shape.dimensionCount == 3)
        #expect(shape[0] == 2 && shape[2] == 5)
    }

    @Test("of a scalar has one row of one element")
    func scalarHasOneElement() {
        let shape = Shape([])
        #expect(shape.elementCount == 1)
        #expect(shape.rows == 1)
        #expect(shape.width == 1)
        #expect(shape.dimensionCount == 0)
    }

    @Test("of a vector has one row")
    func vectorHasOneRow() {
        let shape: Shape = [7]
        #expect(shape.rows == 1)
        #expect(shape.width == 7)
    }

    @Test("with an empty dimension has no elements")
    func emptyDimensionHasNoElements() {
        #expect(([4, 0, 3] as Shape).elementCount == 0)
        #expect(([4, 0, 3] as Shape).rows == 0)
        #expect(([4, 0] as Shape).width == 0)
    }

    @Test("is equal by its dimensions and prints them")
    func equalsAndPrints() {
        #expect(([2, 3] as Shape) == Shape([2, 3]))
        #expect(([2, 3] as Shape) != Shape([3, 2]))
        #expect("\([2, 3] as Shape)" == "[2, 3]")
        #expect("\(Shape([]))" == "[]")
    }
}
