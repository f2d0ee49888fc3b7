#include "wal/seals.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "bus/base/assert.hpp"
#include "wal/cold.hpp"

namespace millrace::wal {
namespace {

EVP_MD_CTX* context_of(void* context) {
  return static_cast<EVP_MD_CTX*>(context);
}

Bytes bytes_of(const Seal& seal) {
  return std::as_bytes(std::span(&seal, 1));
}

class Sealing final : public CareWork {
 public:
  explicit Sealing(const CareOf& of) : of_(of) {}

  Result<CareStep> step() override {
    if (!file_) {
      MILLRACE_TRY(look_at_previous());  // first: behind one that is damaged the segment is not read in vain
      auto file = open_segment_file(*of_.files, of_.folder, of_.name);
      if (!file) return fail(file.error());
      file_ = std::move(*file);
    }
    bytes_.resize(std::min<std::uint64_t>(care_step_bytes, of_.end - at_));
    const auto got = file_->pread(bytes_, at_);
    if (!got) return fail(got.error());
    if (*got != bytes_.size()) {
      return fail(ErrorCode::corrupt, "segment " + to_file_name(of_.name) + " is shorter than its successor says");
    }
    content_.add(bytes_);
    at_ += bytes_.size();
    if (at_ < of_.end) return CareStep{};
    MILLRACE_TRY(write());
    return CareStep{true, {}};
  }

 private:
  // The newest seal before this one.
  Status look_at_previous() {
    const auto names = of_.files->list(of_.folder);
    if (!names) return fail(names.error());
    const auto seals = sealed_segments(*names);
    const auto behind = std::partition_point(seals.begin(), seals.end(),
                                             [&](SegmentName name) { return name.number < of_.name.number; });
    if (behind == seals.begin()) return {};
    const SegmentName before = *std::prev(behind);
    previous_ = read_seal(*of_.files, of_.folder, before);
    if (previous_) return {};
    return fail(ErrorCode::corrupt, "the seal " + to_seal_name(before) +
                                        " is damaged, and the next one cannot be chained to it; restore it from a "
                                        "copy, or delete it to begin a new chain");
  }

  Status write() {
    Seal seal{};
    seal.magic = seal_magic;
    seal.version = format_version;
    seal.log_id = of_.log_id.bytes;
    seal.segment = of_.name.number.value();
    seal.first_offset = of_.name.first_offset.value();
    seal.end = of_.end;
    seal.content = content_.digest();
    if (previous_) {
      seal.previous_segment = previous_->segment;
      seal.previous_chain = previous_->chain;
    }
    seal.chain = chain_of(seal);
    seal.checksum = checksum_of(bytes_of(seal).subspan(checksummed_from));
    const std::string name = to_seal_name(of_.name);
    return replace_file(*of_.files, of_.folder, name, name + ".new", bytes_of(seal));
  }

  CareOf of_;
  std::optional<Seal> previous_;
  std::unique_ptr<File> file_;
  Sha256 content_;
  std::vector<std::byte> bytes_;
  std::uint64_t at_ = 0;
};

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  MILLRACE_ASSERT(context_ && EVP_DigestInit_ex(context_of(context_.get()), EVP_sha256(), nullptr) == 1,
                  "libcrypto has SHA-256");
}

void Sha256::Free::operator()(void* context) const {
  EVP_MD_CTX_free(context_of(context));
}

void Sha256::add(Bytes bytes) {
  MILLRACE_ASSERT(EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size()) == 1, "SHA-256 goes on");
}

Digest Sha256::digest() {
  Digest digest{};
  MILLRACE_ASSERT(EVP_DigestFinal_ex(context_of(context_.get()), digest.data(), nullptr) == 1,
                  "SHA-256 comes to an end");
  return digest;
}

std::string hex_of(const Digest& digest) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text;
}

std::optional<Digest> from_hex(const std::string& text) {
  static const std::string digits = "0123456789abcdef";
  Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digit = digits.find(text[i] >= 'A' && text[i] <= 'F' ? static_cast<char>(text[i] + 32) : text[i]);
    if (digit == std::string::npos) return std::nullopt;
    digest[i / 2] = static_cast<std::uint8_t>(digest[i / 2] * 16 + digit);
  }
  return digest;
}

Digest chain_of(const Seal& seal) {
  Sha256 sha;
  sha.add(bytes_of(seal).subspan(checksummed_from, offsetof(Seal, chain) - checksummed_from));
  return sha.digest();
}

std::optional<Seal> read_seal(FileSystem& files, const std::string& folder, SegmentName name) {
  const auto file = files.open(join(folder, to_seal_name(name)), OpenMode::read);
  if (!file) return std::nullopt;
  Seal seal{};
  const auto got = (*file)->pread(std::as_writable_bytes(std::span(&seal, 1)), 0);
  if (!got || *got != sizeof seal || seal.magic != seal_magic || seal.version != format_version || seal.reserved != 0 ||
      seal.checksum != checksum_of(bytes_of(seal).subspan(checksummed_from)) || seal.segment != name.number.value() ||
      seal.first_offset != name.first_offset.value()) {
    return std::nullopt;
  }
  return seal;
}

std::vector<SegmentName> sealed_segments(const std::vector<std::string>& names) {
  std::vector<SegmentName> found;
  for (const std::string& name : names) {
    if (const auto parsed = parse_seal_name(name)) found.push_back(*parsed);
  }
  std::sort(found.begin(), found.end(), [](SegmentName a, SegmentName b) { return a.number < b.number; });
  return found;
}

std::unique_ptr<CareWork> begin_seal(const CareOf& of) {
  return std::make_unique<Sealing>(of);
}

}  // namespace millrace::wal
