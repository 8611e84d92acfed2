-- Images in pieces, so that any node serves any image and a backup of the database has them all
-- (src/media). The uploaded file itself is not kept: every variant is encoded anew.

CREATE TABLE media_image (
    id          bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT media_image_pk PRIMARY KEY,
    public_id   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT media_image_public_id_key UNIQUE,
    -- What the image belongs to: the pages of the site.
    owner_kind  text        NOT NULL CONSTRAINT media_image_owner_known CHECK (owner_kind IN ('site')),
    -- SHA-256 of the decoded pixels: the same picture is stored once.
    pixels_hash bytea       NOT NULL CONSTRAINT media_image_pixels_hash_length CHECK (octet_length(pixels_hash) = 32),
    -- Of the upload, as people see it.
    width       integer     NOT NULL CONSTRAINT media_image_width_range CHECK (width BETWEEN 1 AND 10000),
    height      integer     NOT NULL CONSTRAINT media_image_height_range CHECK (height BETWEEN 1 AND 10000),
    -- The text for people who do not see the image, by language.
    alt         jsonb       NOT NULL,
    uploaded_by bigint      CONSTRAINT media_image_uploader_fk REFERENCES account ON DELETE SET NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- It can be restored until the sweep deletes the row.
    deleted_at  timestamptz,
    CONSTRAINT media_image_pixels_key UNIQUE (owner_kind, pixels_hash)
);
CREATE INDEX media_image_listed ON media_image (owner_kind, id DESC);
CREATE INDEX media_image_deleted ON media_image (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX media_image_uploader ON media_image (uploaded_by);

-- One size of an image.
CREATE TABLE media_variant (
    image_id   bigint  NOT NULL CONSTRAINT media_variant_image_fk REFERENCES media_image ON DELETE CASCADE,
    name       text    NOT NULL CONSTRAINT media_variant_name_known
        CHECK (name IN ('480', '960', '1600', 'thumb', 'social')),
    width      integer NOT NULL,
    height     integer NOT NULL,
    media_type text    NOT NULL CONSTRAINT media_variant_type_known
        CHECK (media_type IN ('image/webp', 'image/jpeg', 'image/png')),
    bytes      integer NOT NULL CONSTRAINT media_variant_bytes_range CHECK (bytes > 0),
    -- SHA-256 of the bytes.
    hash       bytea   NOT NULL CONSTRAINT media_variant_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT media_variant_pk PRIMARY KEY (image_id, name)
);

CREATE TABLE media_piece (
    image_id bigint  NOT NULL,
    variant  text    NOT NULL,
    number   integer NOT NULL,
    data     bytea   NOT NULL CONSTRAINT media_piece_size CHECK (octet_length(data) BETWEEN 1 AND 262144),
    CONSTRAINT media_piece_pk PRIMARY KEY (image_id, variant, number),
    CONSTRAINT media_piece_variant_fk FOREIGN KEY (image_id, variant) REFERENCES media_variant ON DELETE CASCADE
);
-- The bytes are compressed already.
ALTER TABLE media_piece ALTER COLUMN data SET STORAGE EXTERNAL;

-- What staff chose for the whole site, by name. 'social_image': the id of an image.
CREATE TABLE site_setting (
    key        text        CONSTRAINT site_setting_pk PRIMARY KEY,
    value      jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
