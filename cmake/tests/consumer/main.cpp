// y = a + b on the host, from C++.
#include <forja.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

void check(forja_status status) {
    if (status != FORJA_OK)
        throw std::runtime_error(forja_last_error());
}

template <typename T, auto release> struct Release {
    void operator()(T *object) const { release(object); }
};
template <typename T, auto release> using Owned = std::unique_ptr<T, Release<T, release>>;

using Device = Owned<forja_device, forja_device_free>;
using Queue = Owned<forja_queue, forja_queue_free>;
using Buffer = Owned<forja_buffer, forja_buffer_free>;

Buffer upload(forja_device *device, forja_queue *queue, const std::vector<float> &values) {
    forja_buffer *buffer = nullptr;
    check(forja_buffer_create(&buffer, device, values.size() * sizeof(float)));
    Buffer owned(buffer);
    check(forja_buffer_write(queue, buffer, 0, values.data(), values.size() * sizeof(float)));
    return owned;
}

} // namespace

int main() try {
    if (std::strcmp(forja_version(), FORJA_VERSION) != 0)
        throw std::runtime_error("the library is not the headers'");
    forja_device *opened = nullptr;
    check(forja_device_open_host(&opened, 1));
    const Device device(opened);
    forja_queue *created = nullptr;
    check(forja_queue_create(&created, device.get()));
    const Queue queue(created);

    std::vector<float> sum(3);
    const Buffer a = upload(device.get(), queue.get(), {1, 2, 3});
    const Buffer b = upload(device.get(), queue.get(), {10, 20, 30});
    const Buffer y = upload(device.get(), queue.get(), sum);
    forja_add_args args = {};
    args.dtype = FORJA_DTYPE_F32;
    args.a.buffer = a.get();
    args.b.buffer = b.get();
    args.y.buffer = y.get();
    args.count = sum.size();
    check(forja_add(queue.get(), &args));
    check(forja_buffer_read(queue.get(), sum.data(), y.get(), 0, sum.size() * sizeof(float)));
    std::printf("Forja %s: %g %g %g\n", forja_version(), sum[0], sum[1], sum[2]);
    return sum == std::vector<float>{11, 22, 33} ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
}
