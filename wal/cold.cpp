#include "wal/cold.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

namespace millrace::wal {
namespace {

constexpr std::uint32_t block_bytes_max = 16 << 20;
constexpr std::uint32_t header_bytes_max = 1 << 20;
// No frame says more with a byte: a zstd block of 128 KiB takes 4. So no file makes a reader go through more.
constexpr std::uint64_t ratio_max = 32 * 1024;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::uint64_t checksum_of_header(const ColdHeader& header) {
  return checksum_of(bytes_of(header).subspan(checksummed_from));
}

bool is_whole(const ColdHeader& header) {
  return header.magic == cold_magic && header.version == format_version && header.reserved == 0 &&
         header.checksum == checksum_of_header(header) && header.first_block_bytes <= block_bytes_max &&
         header.block_bytes > 0 && header.block_bytes <= block_bytes_max && header.first_block_bytes <= header.end;
}

// How the bytes of the segment are cut.
struct Blocks {
  std::uint64_t end = 0;
  std::uint64_t first = 0;
  std::uint64_t size = 1;

  [[nodiscard]] std::uint64_t count() const { return end == 0 ? 0 : 1 + (end - first + size - 1) / size; }
  [[nodiscard]] std::uint64_t of(std::uint64_t byte) const { return byte < first ? 0 : 1 + (byte - first) / size; }
  [[nodiscard]] std::uint64_t begin(std::uint64_t block) const { return block == 0 ? 0 : first + (block - 1) * size; }
  [[nodiscard]] std::uint64_t bytes(std::uint64_t block) const {
    return block == 0 ? first : std::min(size, end - begin(block));
  }
};

Blocks blocks_of(const ColdHeader& header) {
  return {header.end, header.first_block_bytes, header.block_bytes};
}

// All that was asked for, or what there is at the file's end.
Result<std::vector<std::byte>> read(File& file, std::uint64_t at, std::size_t size) {
  std::vector<std::byte> bytes(size);
  const auto got = file.pread(bytes, at);
  if (!got) return fail(got.error());
  bytes.resize(*got);
  return bytes;
}

class ColdFile final : public File {
 public:
  explicit ColdFile(std::unique_ptr<File> below) : below_(std::move(below)), context_(ZSTD_createDCtx()) {}

  Status open(SegmentName name) {
    const auto size = below_->size();
    if (!size) return fail(size.error());
    auto header = read_as<ColdHeader>(0);
    if (!header) return fail(header.error());
    auto trailer = read_as<ColdTrailer>(*size - std::min<std::uint64_t>(*size, sizeof(ColdTrailer)));
    if (!trailer) return fail(trailer.error());
    const auto is_good = [&](const ColdHeader& one) { return is_whole(one) && one.end / ratio_max <= *size; };
    if (!is_good(*header) && is_good(trailer->header)) *header = trailer->header;
    if (!is_good(*header)) {
      // Right as version 1 but for the version: that is a flipped bit. Later versions checksum otherwise.
      if (header->magic == cold_magic && header->version != format_version &&
          header->checksum != checksum_of_header(*header)) {
        return fail(ErrorCode::unsupported, "segment " + to_cold_name(name) + " has format version " +
                                                std::to_string(header->version) + ", this build reads version " +
                                                std::to_string(format_version) + "; use the millrace that wrote it");
      }
      return {};
    }
    blocks_ = blocks_of(*header);
    return read_table(*size, trailer->table_checksum);
  }

  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override {
    const std::lock_guard lock(mutex_);
    std::size_t done = 0;
    while (done < into.size() && at < blocks_.end) {
      const std::uint64_t number = blocks_.of(at);
      const auto block = load(number);
      if (!block) return fail(block.error());
      const std::uint64_t skip = at - blocks_.begin(number);
      const std::size_t size = std::min<std::uint64_t>(into.size() - done, block->size() - skip);
      std::memcpy(into.data() + done, block->data() + skip, size);
      done += size;
      at += size;
    }
    return done;
  }
  Result<std::size_t> pwrite(Bytes, Bytes, std::uint64_t) override { return refuse(); }
  Status sync() override { return refuse(); }
  Status allocate(std::uint64_t) override { return refuse(); }
  Status discard(std::uint64_t) override { return refuse(); }
  Result<std::uint64_t> size() override { return blocks_.end; }
  Result<bool> try_lock(LockMode mode) override { return below_->try_lock(mode); }
  void unlock() override { below_->unlock(); }
  int native_fd() const override { return -1; }

 private:
  // As many as a read of one block's size touches, and one for who begins the next before the last one's end.
  static constexpr std::size_t kept = 3;
  struct Kept {
    std::uint64_t number = 0;
    std::uint64_t used = 0;  // when, in reads; 0: never
    std::vector<std::byte> bytes;
  };

  static tl::unexpected<Error> refuse() {
    return fail(ErrorCode::not_permitted, "a compressed segment is never written to");
  }

  // Zeros where the file is shorter.
  template <class T>
  Result<T> read_as(std::uint64_t at) {
    T value{};
    const auto got = below_->pread(std::as_writable_bytes(std::span(&value, 1)), at);
    if (!got) return fail(got.error());
    if (*got < sizeof value) value = T{};
    return value;
  }

  Status read_table(std::uint64_t size, std::uint64_t checksum) {
    const std::uint64_t count = blocks_.count();
    const std::uint64_t behind = size - std::min<std::uint64_t>(size, sizeof(ColdTrailer));
    if (count <= behind / sizeof(std::uint64_t)) {
      const std::uint64_t at = behind - count * sizeof(std::uint64_t);
      const auto bytes = read(*below_, at, count * sizeof(std::uint64_t));
      if (!bytes) return fail(bytes.error());
      if (checksum_of(*bytes) == checksum && bytes->size() == count * sizeof(std::uint64_t)) {
        table_.resize(count);
        if (count > 0) std::memcpy(table_.data(), bytes->data(), bytes->size());
        table_.push_back(at);
        return {};
      }
    }
    // The table is only a short cut: frames say themselves how long they are.
    table_ = {sizeof(ColdHeader)};
    std::vector<std::byte> window;
    std::uint64_t window_at = 0;
    bool is_last = false;
    for (std::uint64_t block = 0; block < count; ++block) {
      const std::uint64_t at = table_.back();
      const std::size_t frame_max = ZSTD_compressBound(blocks_.bytes(block));
      if (!is_last && at + frame_max > window_at + window.size()) {
        // Of two, so that a file of many small frames is not read again for each.
        auto bytes = read(*below_, at, 2 * frame_max);
        if (!bytes) return fail(bytes.error());
        window = std::move(*bytes);
        window_at = at;
        is_last = window.size() < 2 * frame_max;
      }
      const Bytes rest = Bytes(window).subspan(at - window_at);
      const std::size_t frame = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
      if (ZSTD_isError(frame) != 0) break;
      table_.push_back(at + frame);
    }
    return {};
  }

  Result<Bytes> load(std::uint64_t number) {
    ++reads_;
    Kept* oldest = kept_.data();
    for (Kept& block : kept_) {
      if (block.used > 0 && block.number == number) {
        block.used = reads_;
        return Bytes(block.bytes);
      }
      if (block.used < oldest->used) oldest = &block;
    }
    oldest->used = 0;
    std::vector<std::byte>& bytes = oldest->bytes;
    bytes.resize(blocks_.bytes(number));
    bool whole = false;
    if (number + 1 < table_.size() && table_[number] <= table_[number + 1] && table_[number + 1] <= table_.back() &&
        table_[number + 1] - table_[number] <= ZSTD_compressBound(bytes.size())) {
      const auto frame = read(*below_, table_[number], table_[number + 1] - table_[number]);
      if (!frame) return fail(frame.error());
      whole =
          ZSTD_decompressDCtx(context_.get(), bytes.data(), bytes.size(), frame->data(), frame->size()) == bytes.size();
    }
    if (!whole) std::fill(bytes.begin(), bytes.end(), std::byte{0});
    oldest->number = number;
    oldest->used = reads_;
    return Bytes(bytes);
  }

  std::unique_ptr<File> below_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  Blocks blocks_;
  std::vector<std::uint64_t> table_;  // where each frame begins, and the last one's end
  std::mutex mutex_;
  std::array<Kept, kept> kept_;
  std::uint64_t reads_ = 0;
};

class Compression final : public CareWork {
 public:
  Compression(const CareOf& of, int level) : of_(of), level_(level), context_(ZSTD_createCCtx()) {}

  Result<CareStep> step() override {
    auto made = go_on();
    if (!made) {
      // It may be the space that was missing.
      file_.reset();
      written_.reset();
      (void)of_.files->unlink(path(half_made()));
    }
    return made;
  }

 private:
  Result<CareStep> go_on() {
    if (!source_) {
      if (auto size = size_if_done()) return CareStep{true, *size};
      MILLRACE_TRY(begin());
    }
    const std::uint64_t count = blocks_.count();
    if (table_.size() < count) {
      MILLRACE_TRY(compress(count));
      if (table_.size() == count) MILLRACE_TRY(finish());
      return CareStep{.done = false, .bytes = {}, .beside = at_};
    }
    if (compared_ < of_.end) {
      MILLRACE_TRY(compare());
      if (compared_ == of_.end) MILLRACE_TRY(give_name());
      return CareStep{.done = false, .bytes = {}, .beside = at_};
    }
    MILLRACE_TRY(delete_source());
    return CareStep{true, at_};
  }

  // A ticket of an earlier life may have done it meanwhile.
  std::optional<std::uint64_t> size_if_done() {
    const auto source = of_.files->open(path(to_file_name(of_.name)), OpenMode::read);
    if (source || source.error().code != ErrorCode::not_found) return std::nullopt;
    const auto cold = of_.files->open(path(to_cold_name(of_.name)), OpenMode::read);
    const auto size = cold ? (*cold)->size() : Result<std::uint64_t>(fail(cold.error()));
    return size ? std::optional(*size) : std::nullopt;
  }

  Status begin() {
    auto source = of_.files->open(path(to_file_name(of_.name)), OpenMode::read);
    if (!source) return fail(source.error());
    const auto size = (*source)->size();
    if (!size) return fail(size.error());
    if (*size < of_.end) {
      return fail(ErrorCode::corrupt, "segment " + to_file_name(of_.name) + " is shorter than its successor says");
    }
    // The segment's own header alone is the first block, so that it is cheap to look at.
    SegmentHeader own{};
    const auto got = (*source)->pread(std::as_writable_bytes(std::span(&own, 1)), 0);
    if (!got) return fail(got.error());
    const bool known = own.magic == segment_magic && own.header_bytes > 0 && own.header_bytes <= header_bytes_max;
    const std::uint64_t first = std::min<std::uint64_t>(known ? own.header_bytes : header_alignment, of_.end);
    header_.magic = cold_magic;
    header_.version = format_version;
    header_.log_id = of_.log_id.bytes;
    header_.segment = of_.name.number.value();
    header_.end = of_.end;
    header_.first_block_bytes = static_cast<std::uint32_t>(first);
    header_.block_bytes = cold_block_bytes;
    header_.checksum = checksum_of_header(header_);
    blocks_ = blocks_of(header_);
    (void)of_.files->unlink(path(half_made()));  // one from an attempt that was given up
    auto file = of_.files->create(path(half_made()));
    if (!file) return fail(file.error());
    file_ = std::move(*file);
    MILLRACE_TRY(write_all(*file_, bytes_of(header_), {}, 0));
    at_ = sizeof header_;
    frame_.resize(ZSTD_compressBound(std::max<std::size_t>(first, cold_block_bytes)));
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level_);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
    source_ = std::move(*source);
    return {};
  }

  Status compress(std::uint64_t count) {
    for (std::size_t done = 0; done < care_step_bytes && table_.size() < count;) {
      const std::uint64_t block = table_.size();
      const auto bytes = read_source(blocks_.begin(block), blocks_.bytes(block));
      if (!bytes) return fail(bytes.error());
      const std::size_t size =
          ZSTD_compress2(context_.get(), frame_.data(), frame_.size(), bytes->data(), bytes->size());
      if (ZSTD_isError(size) != 0) {
        return fail(ErrorCode::internal, std::string("zstd cannot compress: ") + ZSTD_getErrorName(size));
      }
      MILLRACE_TRY(write_all(*file_, Bytes(frame_).first(size), {}, at_));
      table_.push_back(at_);
      at_ += size;
      done += bytes->size();
    }
    return {};
  }

  Status finish() {
    const Bytes table = std::as_bytes(std::span(table_));
    const ColdTrailer trailer{checksum_of(table), header_};
    MILLRACE_TRY(write_all(*file_, table, bytes_of(trailer), at_));
    at_ += table.size() + sizeof trailer;
    MILLRACE_TRY(file_->sync());
    auto written = of_.files->open(path(half_made()), OpenMode::read);
    if (!written) return fail(written.error());
    auto cold = open_cold(std::move(*written), of_.name);
    if (!cold) return fail(cold.error());
    written_ = std::move(*cold);
    return {};
  }

  Status compare() {
    const std::size_t size = std::min<std::uint64_t>(care_step_bytes, of_.end - compared_);
    const auto bytes = read_source(compared_, size);
    if (!bytes) return fail(bytes.error());
    const auto again = read(*written_, compared_, size);
    if (!again) return fail(again.error());
    if (*bytes != *again) {
      return fail(ErrorCode::corrupt, "what was compressed of segment " + to_file_name(of_.name) +
                                          " is read back otherwise; check memory and disk");
    }
    compared_ += size;
    return {};
  }

  Status give_name() {
    MILLRACE_TRY(of_.files->rename(path(half_made()), path(to_cold_name(of_.name))));
    return of_.files->sync_folder(of_.folder);
  }

  // A step of its own: who lists the folder just now must not find the one name not yet and the other no more.
  Status delete_source() {
    MILLRACE_TRY(of_.files->unlink(path(to_file_name(of_.name))));
    return of_.files->sync_folder(of_.folder);
  }

  Result<std::vector<std::byte>> read_source(std::uint64_t at, std::size_t size) {
    auto bytes = read(*source_, at, size);
    if (bytes && bytes->size() != size) return fail(ErrorCode::io_failed, "a segment became shorter");
    return bytes;
  }

  [[nodiscard]] std::string path(const std::string& name) const { return join(of_.folder, name); }
  [[nodiscard]] std::string half_made() const { return to_cold_name(of_.name) + ".new"; }

  CareOf of_;
  int level_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  std::unique_ptr<File> source_;
  std::unique_ptr<File> file_;
  std::unique_ptr<File> written_;  // the same, read as a reader does
  ColdHeader header_{};
  Blocks blocks_;
  std::vector<std::uint64_t> table_;
  std::vector<std::byte> frame_;
  std::uint64_t at_ = 0;
  std::uint64_t compared_ = 0;
};

}  // namespace

Result<std::unique_ptr<File>> open_cold(std::unique_ptr<File> file, SegmentName name) {
  auto cold = std::make_unique<ColdFile>(std::move(file));
  MILLRACE_TRY(cold->open(name));
  return cold;
}

Result<std::unique_ptr<File>> open_segment_file(FileSystem& files, const std::string& folder, SegmentName name) {
  auto file = files.open(join(folder, to_file_name(name)), OpenMode::read);
  if (file || file.error().code != ErrorCode::not_found) return file;
  auto cold = files.open(join(folder, to_cold_name(name)), OpenMode::read);
  if (!cold) return fail(cold.error());
  return open_cold(std::move(*cold), name);
}

std::unique_ptr<CareWork> begin_compression(const CareOf& of, int level) {
  return std::make_unique<Compression>(of, level);
}

Result<std::uint64_t> compress_segment(const CareOf& of, int level) {
  const auto work = begin_compression(of, level);
  for (;;) {
    const auto step = work->step();
    if (!step) return fail(step.error());
    if (step->done) return step->bytes.value_or(0);
  }
}

}  // namespace millrace::wal
